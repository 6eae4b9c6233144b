"""`bolid shard`: kept, captioned photos → WebDataset tars, one person's photos together, and their index.

The same photos, verdicts and captions give byte-identical tars: people and photos are sorted, times are 0.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bolid_data.catalog import Index
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import read_header, read_upright
from bolid_data.lockfile import Recipe
from bolid_data.manifest import Manifest
from bolid_data.progress import bar, note
from bolid_data.shards.lock import write_lock

QUALITY = 95
"""JPEG quality of photos that cannot go in as they are: other formats, turned ones, ones that carry EXIF."""

END = bytes(2 * tarfile.BLOCKSIZE)
"""What closes a tar."""


@dataclass(frozen=True)
class Sample:
    """One photo as it stands in a tar: its members' bytes, headers and padding included, and its index row."""

    data: bytes
    row: dict[str, Any]


def shard(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Writes shards, index, measurements and lock. Killed, it leaves no lock, and the next run writes all again.

    Raises BolidError when nothing is kept, or captions are missing.
    """
    dataset.catalog.require()
    people = dataset.catalog.people_kept()
    if not people:
        raise BolidError("no photo is kept, so there is nothing to shard; see `bolid status` for the reasons")
    if missing := sum(count for _, count in people):
        raise BolidError(f"{missing} kept photos have no caption; run `bolid caption` first")
    shards = write_shards(Recipe.of(manifest), dataset)["shards"]
    samples = sum(entry["samples"] for entry in shards)
    note(f"shard: {samples} photos of {len(people)} people in {len(shards)} shards")
    return {"shards": len(shards), "samples": samples, "people": len(people)}


def write_shards(recipe: Recipe, dataset: Dataset, measurements: Path | None = None) -> dict[str, Any]:
    """Writes all that the catalog keeps and lets `measurements`, where given, stand for what it measured. Returns what
    the new lock says."""
    dataset.lock.unlink(missing_ok=True)
    fresh = dataset.shards / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    people = dataset.catalog.people_kept()
    order = sorted((split_of(person, recipe.shape.splits, recipe.seed), person) for person, _ in people)
    index = Index(fresh / "index.duckdb")
    with bar() as progress:
        writer = ShardWriter(fresh, recipe.shape.max_size, index)
        for split, person in progress.track(order, description="shard"):
            writer.begin(split)
            for sample in _samples(dataset, person):
                writer.add(sample)
            writer.end_person()
        shards = writer.close()
    pins = dataset.catalog.pins()
    index.add("shards", shards)
    sources = [{"sha256": p["sha256"], "url": s["url"]} for p in pins["photos"] if p["kept"] for s in p["sightings"]]
    index.add("sources", sources)
    index.close()
    _swap(fresh, dataset.shards)
    if measurements:
        shutil.copyfile(measurements, dataset.measurements)
    else:
        dataset.catalog.export_measurements(dataset.measurements)
    return write_lock(recipe, dataset, pins, shards)


def split_of(person: str, splits: dict[str, float] | dict[str, list[str]], seed: int) -> str:
    """A person's split: where a list names them, or by a hash of seed and slug, stable as people are added.

    With lists, whoever is on none goes to the first split.
    """
    point = int.from_bytes(hashlib.sha256(f"{seed} {person}".encode()).digest()[:8]) / 2**64
    for name, part in splits.items():
        if isinstance(part, list):
            if person in part:
                return name
        elif (point := point - part) < 0:
            return name
    return next(iter(splits))


class ShardWriter:
    """Writes samples to `<split>-000000.tar`, …, starting a new tar where a person would not fit whole."""

    def __init__(self, folder: Path, max_size: int, index: Index) -> None:
        self._folder, self._max, self._index = folder, max_size, index
        self._split, self._number = "", 0
        self._rows: list[dict[str, Any]] = []  # the open tar's samples
        self._person = 0  # how many of them are of people before this one
        self._file: io.BufferedRandom | None = None
        self._done: list[dict[str, Any]] = []

    def begin(self, split: str) -> None:
        """The samples that follow are one person's, of this split."""
        if split != self._split:
            self._finish()
            self._split, self._number = split, 0

    def add(self, sample: Sample) -> None:
        while self._file and self._file.tell() + len(sample.data) + len(END) > self._max:
            if self._person:
                self._move_person()
            else:  # one person alone fills it
                self._finish()
        self._write(sample)

    def end_person(self) -> None:
        self._person = len(self._rows)

    def close(self) -> list[dict[str, Any]]:
        """Rows of the index's table `shards`."""
        self._finish()
        return self._done

    def _write(self, sample: Sample) -> None:
        if self._file is None:
            self._file = (self._folder / self._name()).open("w+b")
        place = {
            "split": self._split,
            "shard": self._name(),
            "offset": self._file.tell(),
            "size": len(sample.data),
        }
        self._file.write(sample.data)
        self._rows.append(sample.row | place)

    def _move_person(self) -> None:
        """Takes what this person has in the open tar over into the next one."""
        assert self._file is not None
        moved, self._rows = self._rows[self._person :], self._rows[: self._person]
        datas = []
        for row in moved:
            self._file.seek(row["offset"])
            datas.append(self._file.read(row["size"]))
        if moved:
            self._file.seek(moved[0]["offset"])
            self._file.truncate()
        self._finish()
        for row, data in zip(moved, datas, strict=True):
            self._write(Sample(data, row))

    def _finish(self) -> None:
        if self._file is None:
            return
        self._file.write(END)
        self._file.close()
        self._file = None
        path = self._folder / self._name()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entry = {
            "shard": path.name,
            "sha256": sha256,
            "bytes": path.stat().st_size,
            "samples": len(self._rows),
        }
        self._done.append(entry | {"split": self._split})
        self._index.add("samples", self._rows)
        self._rows, self._person, self._number = [], 0, self._number + 1

    def _name(self) -> str:
        return f"{self._split}-{self._number:06d}.tar"


def _samples(dataset: Dataset, person: str) -> Iterator[Sample]:
    for row in dataset.catalog.samples(person):
        jpeg, width, height = _jpeg(dataset.store.find(row["sha256"]))
        keypoints = [[round(float(value), 4) for value in point] for point in row["keypoints"]]
        record = {
            "person": person,
            "sha256": row["sha256"],
            "width": width,
            "height": height,
            "keypoints": keypoints,
            "caption": row["caption"],
        }
        key = f"{person}-{row['sha256'][:16]}"
        text = json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
        members = {"jpg": jpeg, "json": text, "txt": row["caption"].encode()}
        data = b"".join(_member(f"{key}.{name}", content) for name, content in members.items())
        yield Sample(data, {"key": key} | record)


def _jpeg(file: Path) -> tuple[bytes, int, int]:
    """A photo as an upright JPEG without EXIF: its own bytes where they are that already. Width, height in pixels."""
    header = read_header(file)
    if header.format == "JPEG" and header.upright and not header.metadata:
        return file.read_bytes(), header.width, header.height
    out = io.BytesIO()
    read_upright(file).save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue(), header.width, header.height


def _member(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    padding = -len(content) % tarfile.BLOCKSIZE
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(padding)


def _swap(fresh: Path, shards: Path) -> None:
    for old in [*shards.glob("*.tar"), *shards.glob("index.duckdb*")]:
        old.unlink()
    for new in sorted(fresh.iterdir()):
        new.replace(shards / new.name)
    fresh.rmdir()

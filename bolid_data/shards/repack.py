"""Removes samples from shards: writes what `bolid shard` would write for the rest, from the existing tars.

Nothing is decoded or encoded, and tars that do not change stay in place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bolid_data.catalog import IndexWriter, without_person
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.keyed import make_key
from bolid_data.lockfile import local_lock
from bolid_data.paths import inside, regular_file
from bolid_data.progress import note
from bolid_data.shard_index import SampleRow, ShardIndex
from bolid_data.shards.lock import check_places, index_digest, seal
from bolid_data.shards.writer import EncodedSample, ShardWriter
from bolid_data.weights import file_sha256


@dataclass(frozen=True)
class Unwanted:
    """The samples to remove: those of a person (a slug), and those of photos (sha256s)."""

    person: str
    photos: frozenset[str]

    def matches(self, row: Mapping[str, Any]) -> bool:
        return row["person"] == self.person or row["sha256"] in self.photos


def intact_lock(dataset: Dataset) -> dict[str, Any] | None:
    """The lock, if index and measurements match it; None if `bolid shard` did not complete."""
    try:
        lock = local_lock(dataset.lock)
        if lock and index_digest(dataset.index) == lock["index"]:
            check_places(dataset.index, lock)
            return lock if file_sha256(dataset.measurements) == lock["measurements"] else None
    except FileNotFoundError:
        pass
    except BolidError as error:
        note(str(error))
    return None


def repack(dataset: Dataset, lock: dict[str, Any], unwanted: Unwanted) -> bool:
    """Writes the new files; returns False if a tar that it needs differs from the lock."""
    first = _first_tars(dataset, unwanted)
    kept_tars = [
        entry for entry in lock["shards"] if entry["split"] not in first or _number(entry) < first[entry["split"]]
    ]
    for entry in lock["shards"]:
        tar = dataset.shards / entry["shard"]
        if entry not in kept_tars and not (
            tar.is_file() and file_sha256(inside(dataset.shards, tar.name)) == entry["sha256"]
        ):
            return False
    pending = dataset.pending
    pending.begin()
    shards = _write_tars(dataset, lock["max_size"], unwanted, first, kept_tars)
    name = next((row["name"] for row in lock.get("people", []) if row["person"] == unwanted.person), "")
    without_person(dataset.measurements, pending.measurements, unwanted.person, name or "", sorted(unwanted.photos))
    new_lock = lock | {
        "people": [row for row in lock.get("people", []) if row["person"] != unwanted.person],
        "photos": [row for row in lock["photos"] if row["sha256"] not in unwanted.photos],
        "splits": [[name, _without(part, unwanted.person)] for name, part in lock["splits"]],
        "shards": shards,
        "index": index_digest(pending.index),
        "measurements": file_sha256(pending.measurements),
    }
    pending.sync()
    seal(new_lock, pending.lock)
    dataset.catalog.decisions.rename_lock(file_sha256(dataset.lock), file_sha256(pending.lock))
    return True


def _first_tars(dataset: Dataset, unwanted: Unwanted) -> dict[str, int]:
    """For each split, the number of the first tar that may change: the one before the person's, as the next person may
    now fit into it."""
    first: dict[str, int] = {}
    for row in ShardIndex(dataset.index).samples():
        if unwanted.matches(row):
            first.setdefault(row["split"], max(_number(row) - 1, 0))
    return first


def _write_tars(
    dataset: Dataset, max_size: int, unwanted: Unwanted, first: dict[str, int], kept_tars: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Writes tars and index of the remaining samples. Returns the rows of the index's table `shards`."""
    old, key = ShardIndex(dataset.index), make_key(dataset.root)
    index = IndexWriter(dataset.pending.index, key.fingerprint, old.cut_addresses)
    writer = ShardWriter(dataset.pending.folder, max_size, index)
    kept_names = {entry["shard"] for entry in kept_tars}
    for shard, rows in groupby(old.samples(), key=lambda row: row["shard"]):
        if shard in kept_names:
            index.add("samples", [dict(row) for row in rows])
            continue
        for sample in _read(dataset.shards / shard, rows, unwanted):
            split = sample.row["split"]
            writer.begin(split, first[split])
            writer.add(sample)
    shards = sorted(kept_tars + writer.close(), key=lambda entry: (entry["split"], entry["shard"]))
    index.add("shards", shards)
    index.add("sources", [dict(row) for row in old.sources() if row["sha256"] not in unwanted.photos])
    remaining = [(row["person"], row["sha256"]) for row in old.samples() if not unwanted.matches(row)]
    ids = key.ids({person for person, _ in remaining}, {sha256 for _, sha256 in remaining})
    index.add("ids", [{"name": name, "id": keyed_id} for name, keyed_id in sorted(ids.items())])
    index.close()
    return shards


def _read(tar: Path, rows: Iterator[SampleRow], unwanted: Unwanted) -> Iterator[EncodedSample]:
    with regular_file(tar.parent, tar.name).open("rb") as file:
        for row in rows:
            if not unwanted.matches(row):
                file.seek(row["offset"])
                yield EncodedSample(file.read(row["size"]), dict(row))


def _without(part: float | list[str], person: str) -> float | list[str]:
    return [slug for slug in part if slug != person] if isinstance(part, list) else part


def _number(row: Mapping[str, Any]) -> int:
    return int(Path(row["shard"]).stem.rpartition("-")[2])

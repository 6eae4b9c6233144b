"""Shards without some of their samples: what `bolid shard` would write of the rest, from the tars that are there.

Nothing is decoded or encoded, and tars that are not touched stay where they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bolid_data.catalog import IndexWriter, without_photos
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.keyed import make_key
from bolid_data.lockfile import local_lock
from bolid_data.paths import inside, regular_file
from bolid_data.progress import note
from bolid_data.shard_index import SampleRow, ShardIndex
from bolid_data.shards.lock import check_places, index_digest, seal
from bolid_data.shards.writer import Sample, ShardWriter
from bolid_data.weights import file_sha256


@dataclass(frozen=True)
class Unwanted:
    """A person's slug, and the sha256s of photos."""

    person: str
    photos: frozenset[str]

    def holds(self, row: Mapping[str, Any]) -> bool:
        return row["person"] == self.person or row["sha256"] in self.photos


def intact_lock(dataset: Dataset) -> dict[str, Any] | None:
    """The lock, where the index and the measurements are as it says; None where `bolid shard` was not finished."""
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
    """Makes the new files; False where a tar that is needed for it is not what the lock says."""
    first = _first_tars(dataset, unwanted)
    stay = [entry for entry in lock["shards"] if entry["split"] not in first or _number(entry) < first[entry["split"]]]
    for entry in lock["shards"]:
        tar = dataset.shards / entry["shard"]
        if entry not in stay and not (
            tar.is_file() and file_sha256(inside(dataset.shards, tar.name)) == entry["sha256"]
        ):
            return False
    pending = dataset.pending
    pending.begin()
    shards = _write_tars(dataset, lock["max_size"], unwanted, first, stay)
    without_photos(dataset.measurements, pending.measurements, sorted(unwanted.photos))
    said = lock | {
        "people": [row for row in lock.get("people", []) if row["person"] != unwanted.person],
        "photos": [row for row in lock["photos"] if row["sha256"] not in unwanted.photos],
        "splits": [[name, _others(part, unwanted.person)] for name, part in lock["splits"]],
        "shards": shards,
        "index": index_digest(pending.index),
        "measurements": file_sha256(pending.measurements),
    }
    pending.sync()
    seal(said, pending.lock)
    return True


def _first_tars(dataset: Dataset, unwanted: Unwanted) -> dict[str, int]:
    """By split the number of the first tar that changes. The one before a person's changes too where the person after
    them now fits into it."""
    first: dict[str, int] = {}
    for row in ShardIndex(dataset.index).samples():
        if unwanted.holds(row):
            first.setdefault(row["split"], max(_number(row) - 1, 0))
    return first


def _write_tars(
    dataset: Dataset, max_size: int, unwanted: Unwanted, first: dict[str, int], stay: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Tars and index of what is left. Returns the rows of the index's table `shards`."""
    old, key = ShardIndex(dataset.index), make_key(dataset.root)
    index = IndexWriter(dataset.pending.index, key.fingerprint, old.cut_addresses)
    writer = ShardWriter(dataset.pending.folder, max_size, index)
    staying = {entry["shard"] for entry in stay}
    for shard, rows in groupby(old.samples(), key=lambda row: row["shard"]):
        if shard in staying:
            index.add("samples", [dict(row) for row in rows])
            continue
        for sample in _read(dataset.shards / shard, rows, unwanted):
            split = sample.row["split"]
            writer.begin(split, first[split])
            writer.add(sample)
    shards = sorted(stay + writer.close(), key=lambda entry: (entry["split"], entry["shard"]))
    index.add("shards", shards)
    index.add("sources", [dict(row) for row in old.sources() if row["sha256"] not in unwanted.photos])
    staying_rows = [(row["person"], row["sha256"]) for row in old.samples() if not unwanted.holds(row)]
    ids = key.ids({person for person, _ in staying_rows}, {sha256 for _, sha256 in staying_rows})
    index.add("ids", [{"name": name, "id": keyed_id} for name, keyed_id in sorted(ids.items())])
    index.close()
    return shards


def _read(tar: Path, rows: Iterator[SampleRow], unwanted: Unwanted) -> Iterator[Sample]:
    with regular_file(tar.parent, tar.name).open("rb") as file:
        for row in rows:
            if not unwanted.holds(row):
                file.seek(row["offset"])
                yield Sample(file.read(row["size"]), dict(row))


def _others(part: float | list[str], person: str) -> float | list[str]:
    return [slug for slug in part if slug != person] if isinstance(part, list) else part


def _number(row: Mapping[str, Any]) -> int:
    return int(Path(row["shard"]).stem.rpartition("-")[2])

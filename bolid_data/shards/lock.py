"""Writes `dataset.lock.json`, which pins a dataset; `bolid verify` compares it with the files on disk."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bolid_data.atomic_io import write_text
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.images import PIXELS_VERSION
from bolid_data.lockfile import VERSION, ShardRecipe, canonical, local_lock, lock_digest
from bolid_data.manifest import Consent
from bolid_data.paths import regular_file
from bolid_data.pending import Pending
from bolid_data.progress import bar, note
from bolid_data.shard_index import ShardIndex
from bolid_data.stale import decisions_since_lock, find_stale
from bolid_data.weights import file_sha256
from bolid_data.words import counted, photos


def write_lock(
    recipe: ShardRecipe, pending: Pending, content: dict[str, Any], shards: list[dict[str, Any]]
) -> dict[str, Any]:
    """Writes the lock of the pending files. It is written last, so its presence means that they are complete. Returns
    the lock."""
    source = {"source": recipe.source.model_dump(exclude_defaults=True)} if recipe.source else {}
    lock = {
        "version": VERSION,
        "pixels": PIXELS_VERSION,
        "name": recipe.name,
        "seed": recipe.seed,
        "splits": list(recipe.shape.splits.items()),  # a list, as their order matters
        "max_size": int(recipe.shape.max_size),
        **source,
        **content,
        "people": [_with_consent(row, recipe.consent) for row in content["people"]],
        "shards": shards,
        "index": index_digest(pending.index),
        "measurements": file_sha256(pending.measurements),
    }
    pending.sync()
    return seal(lock, pending.lock)


def _with_consent(person: dict[str, Any], consent: Consent) -> dict[str, Any]:
    recorded = consent.of(person["person"]).recorded()
    return person | {"consent": recorded} if recorded else person


def seal(lock: dict[str, Any], file: Path) -> dict[str, Any]:
    """Adds a lock's own sha256, writes the lock and returns it."""
    lock = lock | {"sha256": lock_digest(lock)}
    write_text(file, json.dumps(lock, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return lock


def index_digest(index: Path, added: bool = True) -> str:
    """sha256 of the index's rows (the bytes of a DuckDB file differ from run to run); without `added`, of the columns
    that older indexes have."""
    digest = hashlib.sha256()
    for table, row in ShardIndex(index).all_rows(added):
        digest.update(canonical([table, row]))
    return digest.hexdigest()


def verify(dataset: Dataset, store: bool = True) -> list[dict[str, str]]:
    """All differences from the lock: `file` and `problem` (changed | missing | extra, or stale for shards that contain
    withdrawn photos, and for a lock that lacks decisions made since). Without `store`, the photos in the store are not
    read.

    Raises UsageError when there is no lock, or one that `bolid shard` did not write.
    """
    try:
        lock = local_lock(dataset.lock)
    except FileNotFoundError:
        raise UsageError(f"{dataset.lock}: no such lock; run `bolid shard` first") from None
    if lock is None:
        return [{"file": dataset.lock.name, "problem": "changed"}]
    problems = [{"file": file, "problem": problem} for file, problem in _differences(dataset, lock, store)]
    for entry in problems:
        note(f"verify: {entry['file']}: {entry['problem']}")
    if changes := decisions_since_lock(dataset):
        note(f"verify: decided by hand since the lock was written: {changes}; `bolid shard` follows")
    if not problems:
        shards = counted(len(lock["shards"]), "shard")
        stored = f"{photos(len(lock['photos']))} and " if store else ""
        note(f"verify: {stored}{shards} are as the lock says")
    return problems


def _differences(dataset: Dataset, lock: dict[str, Any], store: bool) -> Iterator[tuple[str, str]]:
    pinned = {entry["shard"]: entry for entry in lock["shards"]}
    stale = find_stale(dataset)
    if decisions_since_lock(dataset):
        yield dataset.lock.name, "stale"
    for name, entry in pinned.items():
        if not (dataset.shards / name).is_file():
            yield f"shards/{name}", "missing"
        elif file_sha256(regular_file(dataset.shards, name)) != entry["sha256"]:
            yield f"shards/{name}", "changed"
        elif name in stale.shards:
            yield f"shards/{name}", "stale"
    for file in sorted(dataset.shards.glob("*")):
        if file.name not in pinned and file not in (dataset.index, dataset.pending.folder):
            yield f"shards/{file.name}", "extra"
    if not dataset.index.is_file():
        yield "shards/index.duckdb", "missing"
    elif not _index_matches(dataset, lock):
        yield "shards/index.duckdb", "changed"
    if not dataset.measurements.is_file():
        yield dataset.measurements.name, "missing"
    elif file_sha256(dataset.measurements) != lock["measurements"]:
        yield dataset.measurements.name, "changed"
    pinned_photos = {photo["sha256"] for photo in lock["photos"]}
    if store:
        yield from _photo_differences(dataset, pinned_photos, stale.opted_out)
    elif pinned_photos & stale.opted_out:
        yield dataset.lock.name, "stale"


def _photo_differences(dataset: Dataset, pinned: set[str], opted_out: frozenset[str]) -> Iterator[tuple[str, str]]:
    missing = set(pinned)
    with bar() as progress:
        for file in progress.track(list(dataset.store.files()), description="verify"):
            name = f"photos/{file.relative_to(dataset.store.root).as_posix()}"
            if file.stem not in pinned:
                yield name, "extra"
                continue
            missing.discard(file.stem)
            if file_sha256(file) != file.stem:
                yield name, "changed"
    for sha256 in sorted(missing):
        # An opt-out deletes the bytes at once; the lock still pins the photo until `bolid shard` runs.
        yield f"photos/{sha256[:2]}/{sha256}", "stale" if sha256 in opted_out else "missing"


def check_places(index: Path, lock: dict[str, Any]) -> None:
    """Raises UsageError for a sample that is not inside one of the pinned shards."""
    sizes = {entry["shard"]: entry["bytes"] for entry in lock["shards"]}
    for row in ShardIndex(index).samples(maps=False):
        if row["offset"] + row["size"] > sizes.get(row["shard"], 0):
            raise UsageError(f"{index}: sample {row['key']} is not inside {row['shard']} as the lock pins it")


def _index_matches(dataset: Dataset, lock: dict[str, Any]) -> bool:
    try:
        if index_digest(dataset.index) != lock["index"]:
            return False
        check_places(dataset.index, lock)
    except BolidError as error:
        note(f"verify: {error}")
        return False
    return True

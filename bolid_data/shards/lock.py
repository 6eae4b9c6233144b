"""`dataset.lock.json` pins what a dataset is; `bolid verify` compares it with what lies on the disk."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bolid_data.catalog import read_index
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import VERSION, Recipe, canonical, lock_digest
from bolid_data.progress import bar, note
from bolid_data.weights import file_sha256


def write_lock(recipe: Recipe, dataset: Dataset, pins: dict[str, Any], shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes the lock; being the last thing written, it says that the dataset is whole. Returns what it says."""
    source = {"source": recipe.source.model_dump(exclude_defaults=True)} if recipe.source else {}
    lock = {
        "version": VERSION,
        "name": recipe.name,
        "seed": recipe.seed,
        "splits": list(recipe.shape.splits.items()),  # their order decides
        "max_size": int(recipe.shape.max_size),
        **source,
        **pins,
        "shards": shards,
        "index": index_digest(dataset.index),
        "measurements": file_sha256(dataset.measurements),
    }
    return seal(lock, dataset.lock)


def seal(lock: dict[str, Any], file: Path) -> dict[str, Any]:
    """Writes a lock with the sha256 of all it says. Returns it."""
    lock = lock | {"sha256": lock_digest(lock)}
    partial = file.with_name(f".{file.name}.part")
    partial.write_text(json.dumps(lock, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(file)
    return lock


def own_lock(file: Path) -> dict[str, Any] | None:
    """What a lock says that `bolid shard` wrote here; None for one that was altered or cannot be read. Raises
    FileNotFoundError."""
    try:
        lock = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return None
    intact = isinstance(lock, dict) and lock.get("version") == VERSION and lock.get("sha256") == lock_digest(lock)
    return lock if intact else None


def index_digest(index: Path) -> str:
    """sha256 of the index's rows (the bytes of a DuckDB file differ from run to run)."""
    digest = hashlib.sha256()
    for table, row in read_index(index):
        digest.update(canonical([table, row]))
    return digest.hexdigest()


def verify(dataset: Dataset) -> list[dict[str, str]]:
    """Everything that differs from the lock: `file` and `problem` (changed | missing | extra).

    Raises UsageError when there is no lock.
    """
    try:
        lock = own_lock(dataset.lock)
    except FileNotFoundError:
        raise UsageError(f"{dataset.lock}: no such lock; run `bolid shard` first") from None
    if lock is None:
        return [{"file": dataset.lock.name, "problem": "changed"}]
    problems = [{"file": file, "problem": problem} for file, problem in _differences(dataset, lock)]
    for entry in problems:
        note(f"verify: {entry['file']}: {entry['problem']}")
    if not problems:
        note(f"verify: {len(lock['photos'])} photos and {len(lock['shards'])} shards are as the lock says")
    return problems


def _differences(dataset: Dataset, lock: dict[str, Any]) -> Iterator[tuple[str, str]]:
    pinned = {entry["shard"]: entry["sha256"] for entry in lock["shards"]}
    for name, sha256 in pinned.items():
        file = dataset.shards / name
        if not file.is_file():
            yield f"shards/{name}", "missing"
        elif file_sha256(file) != sha256:
            yield f"shards/{name}", "changed"
    for file in sorted(dataset.shards.glob("*")):
        if file.name not in pinned and file.name != dataset.index.name:
            yield f"shards/{file.name}", "extra"
    if not dataset.index.is_file():
        yield "shards/index.duckdb", "missing"
    elif _index_or_none(dataset) != lock["index"]:
        yield "shards/index.duckdb", "changed"
    if not dataset.measurements.is_file():
        yield dataset.measurements.name, "missing"
    elif file_sha256(dataset.measurements) != lock["measurements"]:
        yield dataset.measurements.name, "changed"
    yield from _photo_differences(dataset, {photo["sha256"] for photo in lock["photos"]})


def _photo_differences(dataset: Dataset, pinned: set[str]) -> Iterator[tuple[str, str]]:
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
        yield f"photos/{sha256[:2]}/{sha256}", "missing"


def _index_or_none(dataset: Dataset) -> str | None:
    try:
        return index_digest(dataset.index)
    except UsageError:
        return None

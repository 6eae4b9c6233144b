"""The second half of `bolid rebuild`: imports the pinned measurements and writes the same shards."""

from typing import Any

from bolid_data.catalog import Catalog
from bolid_data.dataset import Dataset
from bolid_data.images import PIXELS_VERSION
from bolid_data.lockfile import Lock, ShardRecipe
from bolid_data.progress import note
from bolid_data.shards.lock import index_digest
from bolid_data.shards.write import write_shards
from bolid_data.words import counted, photos


def rebuild_shards(lock: Lock, dataset: Dataset) -> dict[str, Any]:
    """Writes the shards, index, measurements and lock again, from those pinned photos that are in the store.

    Returns the counts, and as `problem` the reason why it is not the pinned dataset, or None. Raises UsageError for
    measurements that disagree with the lock.
    """
    import_measurements(lock, dataset.catalog)
    stored = dataset.catalog.sightings.photos_by_sha256([photo.sha256 for photo in lock.photos])
    missing = sum(photo.sha256 not in stored for photo in lock.photos if photo.sightings or photo.kept)
    # Copied if unchanged, not exported again: the bytes of Parquet differ between versions of DuckDB.
    written = write_shards(ShardRecipe.from_origin(lock), dataset, None if missing else lock.measurements_file)
    samples = sum(entry["samples"] for entry in written["shards"])
    note(f"rebuild: {photos(len(stored))}, {samples} of them in {counted(len(written['shards']), 'shard')}")
    result = {"photos": len(stored), "missing": missing, "shards": len(written["shards"]), "samples": samples}
    return result | {"problem": _problem(lock, dataset, written, missing)}


def import_measurements(lock: Lock, catalog: Catalog) -> None:
    """Imports the measurements, verdicts and captions of the photos in a catalog. Raises UsageError for measurements
    that disagree with the lock."""
    content = {
        "thresholds": lock.thresholds.model_dump_json(),
        "models": [vars(model) for model in lock.models],
        "judgement": lock.judgement and vars(lock.judgement),
        "sites": [site.model_dump() for site in lock.sites],
        "captioner": lock.captioner and lock.captioner.model_dump(),
    }
    kept = [photo.sha256 for photo in lock.photos if photo.kept]
    catalog.lock_content.import_content(
        content, kept, lock.measurements_file, (lock.pixels, lock.thresholds.background)
    )


def _problem(lock: Lock, dataset: Dataset, written: dict[str, Any], missing: int) -> str | None:
    if missing:
        return f"{missing} of {photos(len(lock.photos))} missing, listed above; {dataset.root} holds the rest"
    pinned = {entry.shard: entry.sha256 for entry in lock.shards}
    rebuilt = {entry["shard"]: entry["sha256"] for entry in written["shards"]}
    if differing := sorted(name for name in pinned | rebuilt if pinned.get(name) != rebuilt.get(name)):
        if lock.pixels < PIXELS_VERSION:
            return (
                f"every photo is as pinned, but not {', '.join(differing)}: the lock was made by a version that "
                "ignored colour profiles and transparency, and photos that have them are now encoded as their owners "
                "saw them"
            )
        return (
            f"every photo is as pinned, but not {', '.join(differing)}: photos that are not plain JPEGs are encoded "
            "again, and another version of Pillow than the lock's does that differently"
        )
    # A lock does not record the columns of its index; an older one could not pin those that were added since.
    if lock.index not in (written["index"], index_digest(dataset.index, added=False)):
        return "every photo and shard is as pinned, but not shards/index.duckdb: the lock pins other rows than it holds"
    return None

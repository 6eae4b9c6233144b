"""`bolid shard`: kept, captioned photos → WebDataset tars, one person's photos together, and their index.

The same photos, verdicts and captions give byte-identical tars: people and photos are sorted, times are 0.
"""

import hashlib
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from bolid_data.catalog import Index
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.keyed import make_key
from bolid_data.lockfile import Recipe
from bolid_data.manifest import Manifest
from bolid_data.progress import bar, note
from bolid_data.shards.dependent import discard_stale
from bolid_data.shards.lock import write_lock
from bolid_data.shards.samples import samples
from bolid_data.shards.writer import ShardWriter


def shard(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Writes shards, index, measurements and lock. Killed, it leaves no lock, and the next run writes all again.

    Raises BolidError when nothing is kept, or captions are missing.
    """
    dataset.catalog.require()
    dataset.prepare()
    people = dataset.catalog.people_kept()
    discard_stale(dataset, keeps_some=bool(people))
    if not people:
        raise BolidError("no photo is kept, so there is nothing to shard; see `bolid status` for the reasons")
    if missing := sum(count for _, count in people):
        raise BolidError(f"{missing} kept photos have no caption; run `bolid caption` first")
    shards = write_shards(Recipe.of(manifest), dataset)["shards"]
    photos = sum(entry["samples"] for entry in shards)
    note(f"shard: {photos} photos of {len(people)} people in {len(shards)} shards")
    if failed := dataset.catalog.caption_counts()["failed"]:
        note(f"shard: {failed} kept photos are left out: they could not be captioned")
    return {"shards": len(shards), "samples": photos, "people": len(people)}


def write_shards(recipe: Recipe, dataset: Dataset, measurements: Path | None = None) -> dict[str, Any]:
    """Writes all that the catalog keeps and lets `measurements`, where given, stand for what it measured. Returns what
    the new lock says."""
    dataset.lock.unlink(missing_ok=True)
    fresh = dataset.shards / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    key = make_key(dataset.root)
    pins = dataset.catalog.pins()
    kept = [photo for photo in pins["photos"] if photo["kept"]]
    sightings = [(photo["sha256"], sighting) for photo in kept for sighting in photo["sightings"]]
    cut = sum("left_out" in sighting for _, sighting in sightings)
    index = Index(fresh / "index.duckdb", key.fingerprint, cut)
    shards = _write_tars(recipe, dataset, fresh, index)
    index.add("shards", shards)
    index.add("sources", [{"sha256": sha256, "url": sighting["url"]} for sha256, sighting in sightings])
    ids = key.ids({person for person, _ in dataset.catalog.people_kept()}, (photo["sha256"] for photo in kept))
    index.add("ids", [{"name": name, "id": keyed_id} for name, keyed_id in sorted(ids.items())])
    index.close()
    if cut:
        note(f"shard: {cut} addresses hold what may be secret (a user, a token, a signature); lock and index do not")
    _swap(fresh, dataset.shards)
    if measurements:
        shutil.copyfile(measurements, dataset.measurements)
    else:
        dataset.catalog.export_measurements(dataset.measurements)
    return write_lock(recipe, dataset, pins, shards)


def _write_tars(recipe: Recipe, dataset: Dataset, folder: Path, index: Index) -> list[dict[str, Any]]:
    """Writes tars, and their samples to the index. Returns the rows of the index's table `shards`."""
    splits = {person: split_of(person, recipe.shape.splits, recipe.seed) for person, _ in dataset.catalog.people_kept()}
    order = sorted(splits, key=lambda person: (splits[person], person))
    writer = ShardWriter(folder, recipe.shape.max_size, index)
    by_person = groupby(samples(dataset, order, recipe.background), key=lambda sample: sample.row["person"])
    with bar() as progress:
        for person, own in progress.track(by_person, total=len(order), description="shard"):
            writer.begin(splits[person])
            for sample in own:
                writer.add(sample)
    return writer.close()


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


def _swap(fresh: Path, shards: Path) -> None:
    for old in [*shards.glob("*.tar"), *shards.glob("index.duckdb*")]:
        old.unlink()
    for new in sorted(fresh.iterdir()):
        new.replace(shards / new.name)
    fresh.rmdir()

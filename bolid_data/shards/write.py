"""`bolid shard`: kept, captioned photos → WebDataset tars, sorted by person, and their index.

The same photos, verdicts and captions give byte-identical tars: people and photos are sorted, times are 0.
"""

import hashlib
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from bolid_data import words
from bolid_data.catalog import IndexWriter
from bolid_data.dataset import Dataset
from bolid_data.keyed import make_key
from bolid_data.lockfile import ShardRecipe
from bolid_data.manifest import Consent, Manifest
from bolid_data.progress import bar, note
from bolid_data.shards.dependent import discard_stale
from bolid_data.shards.lock import write_lock
from bolid_data.shards.samples import note_lost_photos, people_with_photos, samples
from bolid_data.shards.writer import ShardWriter
from bolid_data.weights import file_sha256
from bolid_data.words import counted, named


def shard(manifest: Manifest, dataset: Dataset) -> dict[str, Any]:
    """Writes shards, index, measurements and lock. Until all of them are written, the old ones stay as they are.

    Raises BolidError when no photo is kept, or captions are missing.
    """
    dataset.catalog.require()
    dataset.prepare()
    dataset.catalog.captions.choose(manifest.caption.use, manifest.caption.trigger)
    people = dataset.catalog.measurements.people_to_shard()
    discard_stale(dataset, any_kept=bool(people))
    people_with_photos(dataset)
    shards = write_shards(ShardRecipe.from_origin(manifest), dataset)["shards"]
    samples = sum(entry["samples"] for entry in shards)
    splits = _people_by_split(manifest, [person for person, *_ in people])
    single = [person for person, number, _ in people if number == 1]
    note(f"shard: {words.photos(samples)} of {words.people(len(people))} in {counted(len(shards), 'shard')}")
    _note_splits(splits)
    _note_consent(manifest.consent, [person for person, *_ in people])
    if single:
        have = "has" if len(single) == 1 else "have"
        note(f"shard: {named(single)} {have} only one photo; most methods need a second one of each person")
    if failed := dataset.catalog.captions.caption_counts()["failed"]:
        left_out = counted(failed, "kept photo is left out: it", "kept photos are left out: they")
        note(f"shard: {left_out} could not be captioned")
    return {
        "shards": len(shards),
        "samples": samples,
        "people": len(people),
        "splits": {split: len(names) for split, names in splits.items()},
        "people_with_one_photo": len(single),
    }


def _people_by_split(manifest: Manifest, people: list[str]) -> dict[str, list[str]]:
    by_split: dict[str, list[str]] = {split: [] for split in manifest.shards.splits}
    for person in people:
        by_split[split_of(person, manifest.shards.splits, manifest.seed)].append(person)
    return by_split


def _note_splits(splits: dict[str, list[str]]) -> None:
    """Says who is held out, and that a run needs somebody in `train`."""
    for split, people in splits.items():
        if people and split != "train":
            note(f"shard: held out in split '{split}': {named(people)}")
    if not splits.get("train"):
        note(
            "shard: nobody is in split 'train', which `bolid train` uses; with few people, set [shards] splits = "
            "{ train = 1.0 }"
        )


def _note_consent(consent: Consent, people: list[str]) -> None:
    """Says whose basis is not recorded, where that of others is, and which slugs are perhaps misspelt."""
    if unknown := sorted(consent.people.keys() - set(people)):
        note(f"shard: [consent.people]: nobody in the shards has the slug {named(unknown)}")
    without = [person for person in people if not consent.of(person).basis]
    if without and consent != Consent():
        note(f"shard: [consent] records no basis for {named(without)}; `bolid publish` refuses them")


def write_shards(recipe: ShardRecipe, dataset: Dataset, measurements: Path | None = None) -> dict[str, Any]:
    """Writes all kept photos. The file `measurements`, if given, is copied instead of exporting the measurements.
    Returns the new lock. Raises BolidError if photos lost their bytes."""
    try:
        lock = _write_aside(recipe, dataset, measurements)
    except BaseException:
        dataset.pending.discard()
        raise
    dataset.pending.settle()
    return lock


def _write_aside(recipe: ShardRecipe, dataset: Dataset, measurements: Path | None) -> dict[str, Any]:
    pending = dataset.pending
    folder = pending.begin()
    key = make_key(dataset.root)
    content = dataset.catalog.lock_content.read()
    kept = [photo for photo in content["photos"] if photo["kept"]]
    sightings = [(photo["sha256"], sighting) for photo in kept for sighting in photo["sightings"]]
    cut = sum("left_out" in sighting for _, sighting in sightings)
    index = IndexWriter(pending.index, key.fingerprint, cut)
    shards = _write_tars(recipe, dataset, folder, index)
    index.add("shards", shards)
    index.add("sources", [{"sha256": sha256, "url": sighting["url"]} for sha256, sighting in sightings])
    ids = key.ids(
        {person for person, *_ in dataset.catalog.measurements.people_to_shard()}, (photo["sha256"] for photo in kept)
    )
    index.add("ids", [{"name": name, "id": keyed_id} for name, keyed_id in sorted(ids.items())])
    index.close()
    if cut:
        contain = counted(cut, "address contains", "addresses contain")
        note(f"shard: {contain} what may be secret (a user, a token, a signature); lock and index do not")
    if measurements:
        shutil.copyfile(measurements, pending.measurements)
    else:
        dataset.catalog.lock_content.export_measurements(pending.measurements)
    lock = write_lock(recipe, pending, content, shards)
    dataset.catalog.decisions.record_lock(file_sha256(pending.lock))
    return lock


def _write_tars(recipe: ShardRecipe, dataset: Dataset, folder: Path, index: IndexWriter) -> list[dict[str, Any]]:
    """Writes tars, and their samples to the index. Returns the rows of the index's table `shards`."""
    splits = {
        person: split_of(person, recipe.shape.splits, recipe.seed)
        for person, *_ in dataset.catalog.measurements.people_to_shard()
    }
    order = sorted(splits, key=lambda person: (splits[person], person))
    writer = ShardWriter(folder, recipe.shape.max_size, index)
    lost: dict[str, str] = {}
    by_person = groupby(samples(dataset, order, recipe.background, lost), key=lambda sample: sample.row["person"])
    with bar() as progress:
        for person, person_samples in progress.track(by_person, total=len(order), description="shard"):
            writer.begin(splits[person])
            for sample in person_samples:
                writer.add(sample)
    shards = writer.close()
    note_lost_photos(dataset, "shard", lost, "The old shards stay as they were")
    return shards


def split_of(person: str, splits: dict[str, float] | dict[str, list[str]], seed: int) -> str:
    """A person's split: the list that names them, or by a hash of seed and slug, stable as people are added.

    With lists, a person on none of them is in the first split.
    """
    point = int.from_bytes(hashlib.sha256(f"{seed} {person}".encode()).digest()[:8]) / 2**64
    for name, part in splits.items():
        if isinstance(part, list):
            if person in part:
                return name
        elif (point := point - part) < 0:
            return name
    return next(iter(splits))

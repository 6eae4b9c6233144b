"""`bolid forget`: a person goes from everywhere below a dataset's folder, and does not come back.

The tombstone is set first and the catalog is written anew last: until then it says what is to go, so that a command
that was killed, run again, does what is left.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bolid_data.catalog import indexed_samples
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.names import slug
from bolid_data.progress import note
from bolid_data.shards import repack
from bolid_data.shards.repack import Unwanted

DEPENDENT = ("report", "evaluation")
"""Folders of pages and pictures that may show anybody, and that a command makes again."""


@dataclass(frozen=True)
class Trace:
    """What a dataset has of one person."""

    person: str
    photos: frozenset[str]  # sha256s, of photos that are also under another's name too
    others: frozenset[str]  # people of whom a photo goes from the shards


def find(dataset: Dataset, said: str) -> Trace | None:
    """The person with this slug or name; None for one who was forgotten.

    Raises UsageError for nobody, and for a name that several people have.
    """
    dataset.catalog.require()
    dataset.catalog.create()  # one of an older version lacks tables
    repack.finish(dataset)  # what a killed run had left to do
    lock = repack.intact_lock(dataset)
    pinned = {row["person"]: row["name"] for row in (lock or {}).get("people", [])}
    people = dataset.catalog.people_called(said) or sorted({said, slug(said)} & pinned.keys())
    if len(people) > 1:
        raise UsageError(f"{said}: {len(people)} people have this name; say which: {', '.join(people)}")
    if not people:
        if slug(said) in dataset.catalog.tombstones():
            return None
        raise UsageError(f"{said}: nobody in {dataset.root} has this slug or name; `bolid status` lists them")
    return _trace(dataset, people[0], lock)


def forget(dataset: Dataset, trace: Trace) -> dict[str, Any]:
    """Removes a person from photos, catalog, shards, index, lock, measurements, features, reports, pictures of runs and
    the inbox. Returns what went, and the runs that were trained on them, which stay."""
    _bury(dataset, [trace.person, *sorted(trace.photos)])
    runs = _runs(dataset.root / "runs", trace.person)
    _remove_dependent(dataset.root, trace)
    shards = _remove_from_shards(dataset, Unwanted(trace.person, trace.photos))
    dataset.store.empty_inbox()
    # A photo that the catalog does not know was on its way in when a run was killed: nobody can say whose it is.
    known = dataset.catalog.photos() - trace.photos
    dataset.store.remove(lambda sha256: sha256 not in known)
    dataset.catalog.forget(trace.person, sorted(trace.photos))
    note(f"forget: {len(trace.photos)} photos and the name are gone; shards written again: {len(shards['rewritten'])}")
    for run in runs:
        note(f"forget: runs/{run['run']} {_TRAINED[run['trained']]}; what it learnt stays until you delete it")
    return {"person": trace.person, "photos": len(trace.photos), "shards": shards, "runs": runs}


_TRAINED = {True: "was trained on this person", None: "is not finished, so it may have been trained on this person"}


def _trace(dataset: Dataset, person: str, lock: dict[str, Any] | None) -> Trace:
    photos, others = dataset.catalog.photos_of(person), set()
    if lock:
        photos |= {
            row["sha256"] for row in lock["photos"] if any(seen["person"] == person for seen in row["sightings"])
        }
        samples = [row for row in indexed_samples(dataset.index) if row["person"] == person or row["sha256"] in photos]
        photos |= {row["sha256"] for row in samples}
        others = {row["person"] for row in samples} - {person}
    return Trace(person, frozenset(photos), frozenset(others))


def _bury(dataset: Dataset, names: Iterable[str]) -> None:
    buried = dataset.catalog.tombstones()
    dataset.catalog.bury([name for name in names if name not in buried])


def _remove_dependent(root: Path, trace: Trace) -> None:
    """What was made of the person's photos: reports, tables, features, and pictures that runs made of them."""
    whole = [root / name for name in DEPENDENT]
    features = [folder for name in {trace.person, *trace.others} for folder in root.glob(f"features/*/{name}")]
    grids = root.glob("runs/*/validation")  # several people are on one, and a grid does not say who
    for folder in (*whole, *features, *grids):
        if folder.exists():
            shutil.rmtree(folder)


def _remove_from_shards(dataset: Dataset, unwanted: Unwanted) -> dict[str, list[str]]:
    """Which tars have other bytes now, and which are gone."""
    lock = repack.intact_lock(dataset)
    if lock is None or not repack.repack(dataset, lock, unwanted):
        if dataset.shards.exists():
            note("forget: the shards were not what a lock says, and are removed; run `bolid shard`")
        repack.drop(dataset)
        return {"rewritten": [], "removed": []}
    before = {entry["shard"]: entry["sha256"] for entry in lock["shards"]}
    repack.finish(dataset)
    now = repack.intact_lock(dataset)
    after = {entry["shard"]: entry["sha256"] for entry in (now or {"shards": []})["shards"]}
    return {
        "rewritten": sorted(name for name in after if after[name] != before.get(name)),
        "removed": sorted(before.keys() - after.keys()),
    }


def _runs(folder: Path, person: str) -> list[dict[str, Any]]:
    """Runs that were trained on a person: True, or None where it cannot be known."""
    found = []
    for run in sorted(file.parent for file in folder.glob("*/losses.jsonl")):
        trained = _trained_on(run / "adapter.json", person)
        if trained is not False:
            found.append({"run": run.name, "trained": trained})
    return found


def _trained_on(adapter: Path, person: str) -> bool | None:
    try:
        people = json.loads(adapter.read_text(encoding="utf-8"))["people"]
        return hashlib.sha256((people["salt"] + person).encode()).hexdigest() in people["hashes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None

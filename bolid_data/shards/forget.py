"""`bolid forget`: a person goes from everywhere below a dataset's folder, and does not come back.

The catalog is written anew last: until then it says what is to go, so that a command that was killed, run again, does
what is left. What only takes disk goes first: on a full disk, that makes the room that the rest needs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.fields import SLUG
from bolid_data.keyed import Key, make_key
from bolid_data.names import slug
from bolid_data.paths import remove
from bolid_data.progress import note
from bolid_data.removals import removals_of
from bolid_data.shard_index import ShardIndex
from bolid_data.shards import repack
from bolid_data.shards.dependent import drop, remove_features, remove_pictures
from bolid_data.shards.repack import Unwanted
from bolid_data.stale import TrainedOn, read_trained_on, run_folders

_LEFTOVERS = (
    "catalog.duckdb.tmp", "catalog.duckdb.damaged*", "shards/index.duckdb.tmp", "shards/.new/index.duckdb.tmp",
    ".*.part", "runs/*/.*.part", "runs/*/checkpoints/.*.part", "runs/*/checkpoints/.part", "runs/*/validation/.*.part",
    "features/*/*/.*.part",
)  # fmt: skip
"""What DuckDB writes when memory does not suffice, files that a kill left half written, and catalogs that
`bolid repair` set aside."""


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
    lock = repack.intact_lock(dataset)
    pinned = {row["person"]: row["name"] for row in (lock or {}).get("people", [])}
    people = dataset.catalog.erasure.people_named(said) or sorted({said, slug(said)} & pinned.keys())
    if len(people) > 1:
        raise UsageError(f"{said}: {len(people)} people have this name; say which: {', '.join(people)}")
    if not people:
        if dataset.removed().person(slug(said)) == "forgotten":
            return None
        raise UsageError(f"{said}: nobody in {dataset.root} has this slug or name; `bolid status` lists them")
    if not re.fullmatch(SLUG, people[0]):
        raise BolidError(f"{dataset.catalog.path}: a person '{people[0]}'; no slug is like that, and bolid wrote none")
    return _trace(dataset, people[0], lock)


def forget(dataset: Dataset, trace: Trace) -> dict[str, Any]:
    """Removes a person from photos, catalog, shards, index, lock, measurements, features, reports, pictures of runs and
    the inbox. Returns what went, and the runs that were trained on them, which stay."""
    trace = _trace(dataset, trace.person, repack.intact_lock(dataset))
    remove_pictures(dataset.root)
    remove_features(dataset.root, {trace.person, *trace.others})
    _remove_leftovers(dataset)
    dataset.store.empty_inbox()
    # A photo that the catalog does not know was on its way in when a run was killed: nobody can say whose it is.
    known = dataset.catalog.erasure.photos() - trace.photos
    dataset.store.remove(lambda sha256: sha256 not in known)
    dataset.prepare()
    dataset.remember(removals_of(dataset.root, "forgotten", [trace.person], sorted(trace.photos)))
    shards = _remove_from_shards(dataset, Unwanted(trace.person, trace.photos))
    runs = list(_runs(dataset, trace))
    dataset.catalog.erasure.forget(trace.person, sorted(trace.photos))
    note(f"forget: {len(trace.photos)} photos and the name are gone; shards written again: {len(shards['rewritten'])}")
    for run in runs:
        note(f"forget: runs/{run['run']} {_TRAINED[run['trained']]}; what it learnt stays until you delete it")
    return {"person": trace.person, "photos": len(trace.photos), "shards": shards, "runs": runs}


_TRAINED = {True: "was trained on this person", None: "may have been trained on this person: its files do not tell"}


def _trace(dataset: Dataset, person: str, lock: dict[str, Any] | None) -> Trace:
    photos, others = dataset.catalog.erasure.photos_of(person), set()
    if lock:
        photos |= {
            row["sha256"] for row in lock["photos"] if any(seen["person"] == person for seen in row["sightings"])
        }
        samples = [
            row for row in ShardIndex(dataset.index).samples() if row["person"] == person or row["sha256"] in photos
        ]
        photos |= {row["sha256"] for row in samples}
        others = {row["person"] for row in samples} - {person}
    return Trace(person, frozenset(photos), frozenset(others))


def _remove_leftovers(dataset: Dataset) -> None:
    for pattern in _LEFTOVERS:
        for path in dataset.root.glob(pattern):
            remove(dataset.root, *path.relative_to(dataset.root).parts)


def _remove_from_shards(dataset: Dataset, unwanted: Unwanted) -> dict[str, list[str]]:
    """Which tars have other bytes now, and which are gone."""
    lock = repack.intact_lock(dataset)
    try:
        repacked = lock is not None and repack.repack(dataset, lock, unwanted)
    except (BolidError, OSError, duckdb.Error) as error:  # a full disk, most likely: removing comes before keeping
        note(f"forget: {error}")
        repacked = False
    if lock is None or not repacked:
        if dataset.shards.exists():
            note("forget: the shards could not be written without the person, and are removed; run `bolid shard`")
        drop(dataset)
        return {"rewritten": [], "removed": []}
    before = {entry["shard"]: entry["sha256"] for entry in lock["shards"]}
    dataset.pending.settle()
    now = repack.intact_lock(dataset)
    after = {entry["shard"]: entry["sha256"] for entry in (now or {"shards": []})["shards"]}
    return {
        "rewritten": sorted(name for name in after if after[name] != before.get(name)),
        "removed": sorted(before.keys() - after.keys()),
    }


def _runs(dataset: Dataset, trace: Trace) -> Iterator[dict[str, Any]]:
    """Runs that were trained on a person: True, or None where it cannot be known."""
    key = make_key(dataset.root)
    for run in run_folders(dataset.root):
        trained = _trained_on(read_trained_on(run), trace, key)
        if trained is not False:
            yield {"run": run.name, "trained": trained}


def _trained_on(seen: TrainedOn | None, trace: Trace, key: Key) -> bool | None:
    if seen is None:
        return None
    if seen.includes({key.person(trace.person), *map(key.photo, trace.photos)}, key) or seen.may_include(trace.person):
        return True
    known = seen.key == key.fingerprint or (seen.key is None and seen.salt is not None)
    return False if known else None

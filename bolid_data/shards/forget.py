"""`bolid forget`: removes a person from everywhere in a dataset's folder, for good.

The catalog is rewritten last: until then it records what to remove, so that a killed command, run again, completes the
removal. Files that are only deleted go first: on a full disk, that frees the space that the rest needs.
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
from bolid_data.shards.dependent import remove_features, remove_images, remove_shards
from bolid_data.shards.exports.forget import remove_from_exports
from bolid_data.shards.repack import Unwanted
from bolid_data.stale import TrainedOn, read_trained_on, run_folders
from bolid_data.words import photos

_LEFTOVERS = (
    "catalog.duckdb.tmp", "catalog.duckdb.damaged*", "shards/index.duckdb.tmp", "shards/.new/index.duckdb.tmp",
    ".*.part", "runs/*/.*.part", "runs/*/checkpoints/.*.part", "runs/*/checkpoints/.part", "runs/*/validation/.*.part",
    "features/*/*/.*.part",
)  # fmt: skip
"""Temporary files of DuckDB, files that were being written when a command was killed, and catalogs that `bolid repair`
set aside."""


@dataclass(frozen=True)
class Trace:
    """What a dataset holds about one person."""

    person: str
    photos: frozenset[str]  # sha256s, including photos that other people share
    others: frozenset[str]  # people who lose a photo from the shards
    reassigned: bool = False  # whether the shards have somebody else's photos, which were assigned to the person before


def find(dataset: Dataset, name: str) -> Trace | None:
    """Finds a person by slug or name; None for someone who was forgotten.

    Raises UsageError if nobody or several people have this name.
    """
    dataset.catalog.require()
    lock = repack.intact_lock(dataset)
    pinned = {row["person"]: row["name"] for row in (lock or {}).get("people", [])}
    people = dataset.catalog.erasure.people_named(name) or sorted({name, slug(name)} & pinned.keys())
    if len(people) > 1:
        raise UsageError(f"{name}: {len(people)} people have this name; say which: {', '.join(people)}")
    if not people:
        if dataset.removed().person(slug(name)) == "forgotten":
            return None
        raise UsageError(f"{name}: nobody in {dataset.root} has this slug or name; `bolid status` lists them")
    if not re.fullmatch(SLUG, people[0]):
        raise BolidError(f"{dataset.catalog.path}: a person '{people[0]}'; no slug is like that, and bolid wrote none")
    return _trace(dataset, people[0], lock)


def forget(dataset: Dataset, trace: Trace) -> dict[str, Any]:
    """Removes a person from photos, catalog, shards, index, lock, measurements, features, reports, images of runs, the
    inbox, and exports inside the dataset's folder. Returns what was removed; and, as they stay, the runs that were
    trained on the person, and exports outside."""
    trace = _trace(dataset, trace.person, repack.intact_lock(dataset))
    remove_images(dataset.root)
    remove_features(dataset.root, {trace.person, *trace.others})
    _remove_leftovers(dataset)
    dataset.store.empty_inbox()
    # A photo that is not in the catalog was being ingested when a run was killed: whom it shows is unknown.
    in_catalog = dataset.catalog.erasure.photos() - trace.photos
    dataset.store.remove(lambda sha256: sha256 not in in_catalog)
    dataset.prepare()
    exports = remove_from_exports(dataset, trace.person, trace.photos)
    dataset.remember(removals_of(dataset.root, "forgotten", [trace.person], sorted(trace.photos)))
    shards = _remove_from_shards(dataset, trace)
    runs = list(_runs(dataset, trace))
    dataset.catalog.erasure.forget(trace.person, sorted(trace.photos))
    rewritten = len(shards["rewritten"])
    note(f"forget: {photos(len(trace.photos))} and the name are gone; shards written again: {rewritten}")
    for run in runs:
        note(f"forget: runs/{run['run']} {_TRAINED[run['trained']]}; what it learnt stays until you delete it")
    return {
        "person": trace.person, "photos": len(trace.photos), "shards": shards, "runs": runs, "exports": exports,
    }  # fmt: skip


_TRAINED = {True: "was trained on this person", None: "may have been trained on this person: its files do not tell"}


def _trace(dataset: Dataset, person: str, lock: dict[str, Any] | None) -> Trace:
    photos, others, reassigned = dataset.catalog.erasure.photos_of(person), set(), set()
    if lock:
        photos |= {
            row["sha256"]
            for row in lock["photos"]
            if any(sighting["person"] == person for sighting in row["sightings"])
        }
        samples = [
            row for row in ShardIndex(dataset.index).samples() if row["person"] == person or row["sha256"] in photos
        ]
        sampled = {row["sha256"] for row in samples}
        reassigned = dataset.catalog.decisions.assigned_to_others(person, sampled - photos)
        photos |= sampled - reassigned
        others = {row["person"] for row in samples} - {person}
    return Trace(person, frozenset(photos), frozenset(others), bool(reassigned))


def _remove_leftovers(dataset: Dataset) -> None:
    for pattern in _LEFTOVERS:
        for path in dataset.root.glob(pattern):
            remove(dataset.root, *path.relative_to(dataset.root).parts)


def _remove_from_shards(dataset: Dataset, trace: Trace) -> dict[str, list[str]]:
    """Returns the tars whose bytes changed, and those that were removed."""
    lock = repack.intact_lock(dataset)
    unwanted = Unwanted(trace.person, trace.photos)
    try:
        repacked = lock is not None and not trace.reassigned and repack.repack(dataset, lock, unwanted)
    except (
        BolidError,
        OSError,
        duckdb.Error,
    ) as error:  # most likely a full disk: removing the person has priority over keeping the shards
        note(f"forget: {error}")
        repacked = False
    if lock is None or not repacked:
        if dataset.shards.exists():
            note("forget: the shards could not be written without the person, and are removed; run `bolid shard`")
        remove_shards(dataset)
        return {"rewritten": [], "removed": []}
    before = {entry["shard"]: entry["sha256"] for entry in lock["shards"]}
    dataset.pending.settle()
    new_lock = repack.intact_lock(dataset)
    after = {entry["shard"]: entry["sha256"] for entry in (new_lock or {"shards": []})["shards"]}
    return {
        "rewritten": sorted(name for name in after if after[name] != before.get(name)),
        "removed": sorted(before.keys() - after.keys()),
    }


def _runs(dataset: Dataset, trace: Trace) -> Iterator[dict[str, Any]]:
    """The runs that were trained on a person (True) or may have been (None)."""
    key = make_key(dataset.root)
    for run in run_folders(dataset.root):
        trained = _trained_on(read_trained_on(run), trace, key)
        if trained is not False:
            yield {"run": run.name, "trained": trained}


def _trained_on(record: TrainedOn | None, trace: Trace, key: Key) -> bool | None:
    if record is None:
        return None
    ids = {key.person(trace.person), *map(key.photo, trace.photos)}
    if record.includes(ids, key) or record.may_include(trace.person):
        return True
    can_tell = record.key == key.fingerprint or (record.key is None and record.salt is not None)
    return False if can_tell else None

"""Finds shards, features and runs made of photos that were withdrawn since: opted out, forgotten, deleted, rejected, or
assigned to another person."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bolid_data.catalog import WithdrawnPhoto
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.fields import SLUG
from bolid_data.keyed import Key, read_key
from bolid_data.progress import note
from bolid_data.shard_index import PlaceRow, ShardIndex
from bolid_data.weights import file_sha256
from bolid_data.words import counted


@dataclass(frozen=True)
class Stale:
    photos: frozenset[tuple[str, str]] = frozenset()  # (person, sha256) that the shards hold
    reasons: dict[str, int] = field(default_factory=dict)  # their number, by why they were withdrawn
    shards: tuple[str, ...] = ()
    features: tuple[str, ...] = ()  # feature folders of these people
    runs: tuple[str, ...] = ()  # runs that were, or may have been, trained on withdrawn photos
    opted_out: frozenset[str] = frozenset()  # sha256s of all opted-out photos, wherever they are
    problem: str | None = None  # why the shards could not be read

    def summary(self) -> dict[str, Any]:
        return {
            "photos": len(self.photos),
            "reasons": self.reasons,
            "shards": list(self.shards),
            "features": list(self.features),
            "runs": list(self.runs),
        }


def find_stale(dataset: Dataset) -> Stale:
    """Compares shards, features and runs with the withdrawn photos; nothing is changed."""
    withdrawn = dataset.catalog.consent.withdrawn() if dataset.catalog.path.exists() else []
    # Of several reasons, an opt-out is the one that reaches furthest.
    reasons = {
        (row.person, row.sha256): row.reason for row in sorted(withdrawn, key=lambda row: row.reason == "opted_out")
    }
    removed: dict[str, str] = {**dataset.removed().why}
    problem, photos, shards = None, {}, set()
    try:
        # Where nothing was withdrawn, the index need not be read.
        for row, ids in _indexed(dataset, bool(removed)) if reasons or removed else ():
            photo = row["person"], row["sha256"]
            if reason := reasons.get(photo) or next((removed[id] for id in ids if id in removed), None):
                photos[photo] = reason
                shards.add(row["shard"])
    except UsageError as error:
        problem = str(error)
    people = {person for person, _ in photos} | {row.person for row in withdrawn if row.reason == "opted_out"}
    people = {person for person in people if re.fullmatch(SLUG, person)}
    folders = [folder for person in sorted(people) for folder in dataset.root.glob(f"features/*/{person}")]
    return Stale(
        photos=frozenset(photos),
        reasons=dict(Counter(photos.values())),
        shards=tuple(sorted(shards)),
        features=tuple(f"features/{folder.parent.name}/{folder.name}" for folder in folders) if photos else (),
        runs=tuple(_stale_runs(dataset, withdrawn, removed)),
        opted_out=frozenset(row.sha256 for row in withdrawn if row.reason == "opted_out"),
        problem=problem,
    )


def _indexed(dataset: Dataset, with_ids: bool) -> Iterator[tuple[PlaceRow, list[str]]]:
    """The samples of the shards, each with the keyed ids of its person and its photo, if the index has them."""
    if dataset.index.is_file():
        index = ShardIndex(dataset.index)
        ids = index.ids() if with_ids else {}
        for row in index.places():
            yield row, [ids[name] for name in (row["person"], row["sha256"]) if name in ids]


def note_stale_runs(stale: Stale) -> None:
    """Notes stale runs, which are not refused."""
    for run in stale.runs:
        note(f"runs/{run}: stale: photos that it was trained on were withdrawn since; delete it, and train again")


def refuse_stale(dataset: Dataset) -> None:
    """Raises BolidError where the shards hold withdrawn photos."""
    if (stale := find_stale(dataset)).photos:
        why = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(stale.reasons.items()))
        withdrawn = counted(len(stale.photos), "photo in them was", "photos in them were")
        raise BolidError(
            f"{dataset.shards}: stale: {withdrawn} withdrawn since ({why}); run `bolid dataset`, or train on them "
            "anyway with --allow-stale"
        )


@dataclass(frozen=True)
class TrainedOn:
    """The people and photos that a run was trained on, from its `adapter.json` or `trained_on.json`."""

    key: str | None  # fingerprint of the key of `ids`
    ids: frozenset[str]
    salt: str | None = None  # runs of BoLID 0.1 have salted hashes of people, and nothing about photos
    hashes: frozenset[str] = frozenset()
    lock: str = ""  # sha256 of the file of the lock; unfinished runs have none

    def includes(self, ids: set[str], key: Key | None) -> bool:
        """Whether the run was trained on any of these people or photos, given by their ids under `key`."""
        return key is not None and self.key == key.fingerprint and not self.ids.isdisjoint(ids)

    def may_include(self, person: str) -> bool:
        """Whether a run of BoLID 0.1 was trained on a person."""
        return self.salt is not None and hashlib.sha256((self.salt + person).encode()).hexdigest() in self.hashes


def read_trained_on(run: Path) -> TrainedOn | None:
    """Reads what a run was trained on; None if it cannot be read: an unfinished run, or a stranger's."""
    for name in ("adapter.json", "trained_on.json"):
        try:
            content = json.loads((run / name).read_text(encoding="utf-8"))
            trained_on, people = content.get("trained_on") or {}, content.get("people") or {}
            ids = frozenset([*trained_on.get("people", ()), *trained_on.get("photos", ())])
            salt, hashes = people.get("salt"), frozenset(people.get("hashes", ()))
            return TrainedOn(trained_on.get("key"), ids, salt, hashes, str(content.get("lock")))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            continue
    return None


def run_folders(root: Path) -> list[Path]:
    """The folders of all runs, finished or not."""
    files = (file for name in ("losses.jsonl", "adapter.json") for file in root.glob(f"runs/*/{name}"))
    return sorted({file.parent for file in files})


def _stale_runs(dataset: Dataset, withdrawn: list[WithdrawnPhoto], removed: dict[str, str]) -> Iterator[str]:
    if not withdrawn and not removed:
        return
    key, people = read_key(dataset.root), {row.person for row in withdrawn}
    photos = {row.sha256 for row in withdrawn if row.reason != "reassigned"}
    any_reassigned = any(row.reason == "reassigned" for row in withdrawn)
    for run in run_folders(dataset.root):
        if not (trained_on := read_trained_on(run)):
            continue
        # A run does not say as whose photo it saw one, but its lock does.
        reassigned = dataset.catalog.decisions.reassigned_since(trained_on.lock) if any_reassigned else set()
        ids = set(removed) | set(map(key.photo, photos | reassigned)) if key else set()
        if trained_on.includes(ids, key) or any(map(trained_on.may_include, people)):
            yield run.name


def decisions_since_lock(dataset: Dataset) -> int:
    """The number of decisions made or undone by hand since the lock was written; 0 where there is no lock yet."""
    if not (dataset.lock.is_file() and dataset.catalog.path.exists()):
        return 0
    return dataset.catalog.decisions.changed_since(file_sha256(dataset.lock))

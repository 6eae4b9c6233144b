"""What may be published: files as the lock says, nothing withdrawn, and a recorded basis for every person."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.lockfile import read_sealed
from bolid_data.manifest import Basis, Consent, Manifest
from bolid_data.shard_index import ShardIndex
from bolid_data.shards.lock import verify
from bolid_data.words import counted, named


@dataclass(frozen=True)
class Checked:
    """A dataset whose files are as its lock says. `refused`: why people may not be published, by slug."""

    lock: dict[str, Any]
    index: ShardIndex
    basis: dict[str, Basis]  # of the people in the shards
    refused: dict[str, str]


def check(manifest: Manifest, dataset: Dataset, with_lock: bool, today: datetime.date) -> Checked:
    """Checks the files, and finds the people without a valid basis: those in the shards and, with the lock, those whose
    photos it lists.

    Raises BolidError if the files are not as the lock says, hold something withdrawn, or record another basis than the
    manifest.
    """
    dataset.catalog.require()
    if problems := verify(dataset, store=False):
        raise BolidError(
            f"{dataset.root}: not published: {counted(len(problems), 'difference')} from its lock, listed above; run "
            "`bolid dataset`, and publish again"
        )
    lock, index = read_sealed(dataset.lock), ShardIndex(dataset.index)
    sharded = {row["person"]: None for row in index.places()}
    _refuse_removed(dataset, index, lock if with_lock else None)
    people = [*sharded, *(row["person"] for row in lock["people"] if with_lock and row["person"] not in sharded)]
    refused = without_basis(manifest.consent, people, today)
    if not refused:
        _refuse_outdated_record(manifest.consent, lock, people)
    return Checked(lock, index, {person: manifest.consent.of(person) for person in sharded}, refused)


def without_basis(consent: Consent, people: Iterable[str], today: datetime.date) -> dict[str, str]:
    """Those of the people who may not be handed on, and why."""
    reasons = {person: consent.of(person).problem(today) for person in people}
    return {person: reason for person, reason in sorted(reasons.items()) if reason}


def refusal(refused: dict[str, str]) -> BolidError:
    """The error that says what to do about people without a valid basis."""
    return BolidError(
        f"not published: {counted(len(refused), 'person has', 'people have')} no valid basis, listed above; record it "
        "in [consent] of the manifest and run `bolid shard`, or remove them with `bolid forget`"
    )


def _refuse_removed(dataset: Dataset, index: ShardIndex, lock: dict[str, Any] | None) -> None:
    """Compares by name, also where an old index has no keyed ids that `verify` could compare."""
    removed = dataset.removed()
    people = {row["person"] for row in index.places()}
    photos = {row["sha256"] for row in index.places()}
    if lock:
        people |= {row["person"] for row in lock["people"]}
        photos |= {row["sha256"] for row in lock["photos"]}
    if any(map(removed.person, people)) or any(map(removed.photo, photos)):
        raise BolidError(
            f"{dataset.root}: holds what was forgotten or opted out; run `bolid dataset`, and publish again"
        )


def _refuse_outdated_record(consent: Consent, lock: dict[str, Any], people: Iterable[str]) -> None:
    recorded = {row["person"]: row.get("consent", {}) for row in lock["people"]}
    changed = sorted(person for person in people if recorded.get(person, {}) != consent.of(person).recorded())
    if changed:
        raise UsageError(
            f"the lock does not record what [consent] of the manifest says of {named(changed)}; run `bolid shard`, "
            "which writes the same tars and a new lock"
        )

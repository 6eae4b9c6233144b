"""`bolid keep`, `reject`, `assign` and `undo`: decisions on photos by any of their names. Then all photos are judged
again by the thresholds of the last judgement; nothing is measured."""

import getpass
from collections.abc import Sequence
from typing import Any

from bolid_data.catalog.decisions import ASSIGN, KEEP, REJECT
from bolid_data.curate import judge
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.names import clean_name, slug
from bolid_data.records import ListedPerson

MAX_WHY = 2000
"""Characters of a remark."""

State = dict[str, Any]
"""A photo as it is after a decision: person, sha256, file, kept (None: not judged yet), reasons."""


def keep(dataset: Dataset, names: Sequence[str], why: str = "") -> list[State]:
    """Keeps photos, whatever was measured on them. Raises UsageError for a photo that was opted out, or that is listed
    for several people."""
    photos, owners = _find(dataset, names)
    opted_out = {row.sha256 for row in dataset.catalog.consent.withdrawn() if row.reason == "opted_out"}
    for name, sha256 in photos.items():
        if sha256 in opted_out:
            raise UsageError(f"{name}: its owner opted out, which no decision overrides")
        if len(owners[sha256]) > 1:
            people = " and ".join(owners[sha256])
            raise UsageError(f"{name}: is listed for {people}; say with `bolid assign` whose photo it is")
    return _decide(dataset, KEEP, [(person, sha256) for sha256, people in owners.items() for person in people], why)


def reject(dataset: Dataset, names: Sequence[str], why: str = "") -> list[State]:
    """Rejects photos, for everybody for whom they are listed."""
    _, owners = _find(dataset, names)
    return _decide(dataset, REJECT, [(person, sha256) for sha256, people in owners.items() for person in people], why)


def assign(dataset: Dataset, names: Sequence[str], person: str, why: str = "", new: bool = False) -> list[State]:
    """Assigns photos to a person, by slug or name: from now on they are this person's alone. Raises UsageError for
    somebody who is not in the dataset, unless `new`, and for somebody who was forgotten."""
    _, owners = _find(dataset, names)
    return _decide(dataset, ASSIGN, [(_person(dataset, person, new), sha256) for sha256 in owners], why)


def undo(dataset: Dataset, names: Sequence[str] = ()) -> tuple[list[dict[str, Any]], list[State]]:
    """Undoes all decisions on photos, or else the last command's. Returns the entries of the log that were undone, and
    the photos. Raises UsageError where there is nothing to undo."""
    dataset.catalog.require()
    dataset.prepare()
    decisions, who = dataset.catalog.decisions, _who()
    sha256s = list(dict.fromkeys(dataset.catalog.photo_names.find_all(names).values()))
    undone = decisions.undo(sha256s, who) if names else decisions.undo_last(who)
    if not undone:
        raise UsageError(
            f"nothing was decided on {'these photos' if names else 'any photo'} that is not undone already"
        )
    return undone, _judged_again(dataset, [entry["sha256"] for entry in undone])


def _find(dataset: Dataset, names: Sequence[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The sha256s of photos by their names, and the people whose photo each is, by sha256."""
    dataset.catalog.require()
    dataset.prepare()
    photos = dataset.catalog.photo_names.find_all(names)
    owners = dataset.catalog.decisions.owners(list(photos.values()))
    for name, sha256 in photos.items():
        if sha256 not in owners:
            raise UsageError(f"{name}: is listed for nobody any more, so there is nothing to decide")
    return photos, owners


def _person(dataset: Dataset, name: str, new: bool) -> str:
    people = dataset.catalog.erasure.people_named(name)
    if len(people) > 1:
        raise UsageError(f"{name}: {len(people)} people have this name; say which: {', '.join(people)}")
    if people:
        return people[0]
    person = slug(name)
    if not person:
        raise UsageError(f"{name}: a person's name has letters or digits")
    if dataset.removed().person(person):
        raise UsageError(f"{name}: was removed from this dataset, and does not come back")
    if not new:
        raise UsageError(
            f"{name}: nobody has this slug or name (`bolid status` lists them); add --new for a new person"
        )
    dataset.catalog.sightings.record([ListedPerson(person, clean_name(name) or person, "", 0)])
    return person


def _decide(dataset: Dataset, what: str, photos: Sequence[tuple[str, str]], why: str) -> list[State]:
    if len(why) > MAX_WHY:
        raise UsageError(f"--why: has {len(why)} characters; at most {MAX_WHY}")
    dataset.catalog.decisions.decide(what, photos, _who(), why)
    return _judged_again(dataset, [sha256 for _, sha256 in photos])


def _judged_again(dataset: Dataset, sha256s: Sequence[str]) -> list[State]:
    from bolid_data.curate import identity_similarity, near_duplicates

    if last := judge.last_judgement(dataset.catalog):
        _, models = last
        near_duplicates.find(dataset.catalog, models.hash)
        if models.identity:
            identity_similarity.update(dataset.catalog, models.identity)
        judge.judge_decided(dataset.catalog)
    return dataset.catalog.decisions.states(sha256s)


def _who() -> str:
    """The name of this machine's user; "" where it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""

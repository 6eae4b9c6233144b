"""Preflight: counts what a training run would use, and refuses bad data before the first step."""

import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from bolid_data import words
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train
from bolid_train.data.shard_dataset import People, Sample, ShardDataset
from bolid_train.data.weighting import visible


@dataclass(frozen=True)
class Subject:
    """The one person that a subject-driven method is trained on."""

    person: str | None
    photos: Sequence[str] = ()  # of the person, by sha256; none: all


@dataclass(frozen=True)
class PreflightReport:
    """Counts without names. The last three are over the whole dataset, the others over the training data."""

    people: int
    photos: int
    people_with_one_photo: int  # both target and view: this teaches copying
    photos_without_visible_keypoints: int  # left out
    photos_without_caption: int
    photos_smaller_than_resolution: int
    people_in_two_splits: int
    photos_in_two_splits: int
    photos_of_two_people: int

    def __str__(self) -> str:
        """One line, without the counts that are zero."""
        totals = f"{words.people(self.people)}, {words.photos(self.photos)}"
        warnings = [_counted(count, name) for name, count in list(vars(self).items())[2:] if count]
        return "; ".join([totals, ", ".join(warnings) or "nothing unusual"])


def _counted(count: int, field: str) -> str:
    """A count with the name of its field, such as "1 person with one photo"."""
    noun, _, rest = field.replace("_", " ").partition(" ")
    number = words.people(count) if noun == "people" else words.photos(count)
    return f"{number} {rest}"


def examine(
    shards: ShardDataset, settings: Train, subject: Subject | None = None, photos_per_person: int = 1
) -> PreflightReport:
    """Counts what a training run with these settings would use.

    Args:
        subject: the only person to train on; None: everyone in split 'train'.
        photos_per_person: the least that the method needs.

    Raises BolidError for data that must not be trained on: no people are left, a person or a photo is in two splits, or
    nobody has the second photo that the method needs.
    """
    everyone = _selected_people(shards, settings, subject)
    people = _with_body(everyone, settings)
    photos = list(chain.from_iterable(people.values()))
    splits, photo_splits, photo_people = _splits(shards)
    report = PreflightReport(
        people=len(people),
        photos=len(photos),
        people_with_one_photo=sum(len(photos_of_one) == 1 for photos_of_one in people.values()),
        photos_without_visible_keypoints=sum(map(len, everyone.values())) - len(photos),
        photos_without_caption=sum(not photo.caption.strip() for photo in photos),
        photos_smaller_than_resolution=sum(min(photo.width, photo.height) < settings.resolution for photo in photos),
        people_in_two_splits=_count_multiple(splits),
        photos_in_two_splits=_count_multiple(photo_splits),
        photos_of_two_people=_count_multiple(photo_people),
    )
    if refusal := _refusal(report, shards, settings, subject, photos_per_person):
        raise BolidError(refusal)
    return report


def usable_people(
    shards: ShardDataset, settings: Train, split: str = "train", subject: Subject | None = None
) -> People:
    """The people of a split with those of their photos that have a visible keypoint; the others cannot be weighted
    (method.md, section 1). With a subject, only that person, in any split.

    Raises UsageError if no person is named as the subject or an unknown one, or if a named photo is not one of theirs.
    """
    return _with_body(_selected_people(shards, settings, subject, split), settings)


def _selected_people(shards: ShardDataset, settings: Train, subject: Subject | None, split: str = "train") -> People:
    all_captions = settings.captions == "all"
    if not subject:
        return shards.people(split, all_captions)
    method, person = settings.method, subject.person
    if not person:
        raise UsageError(f'method "{method}" is trained on one person; name them in [train.{method}] person')
    splits: dict[str, set[str]] = defaultdict(set)
    for name, _, split_name in shards.places():
        splits[name].add(split_name)
    if person not in splits:
        matches = ", ".join(difflib.get_close_matches(person, splits, n=3, cutoff=0.4))
        hint = f"; the nearest are {matches}" if matches else ""
        raise UsageError(f"[train.{method}] person = '{person}': {shards.folder} has no such person{hint}")
    photos = list(chain.from_iterable(shards.people(name, all_captions)[person] for name in sorted(splits[person])))
    for sha256 in subject.photos:
        if sha256 not in {photo.sha256 for photo in photos}:
            raise UsageError(f"[train.{method}] photos: {shards.folder} has no photo {sha256} of '{person}'")
    return {person: [photo for photo in photos if photo.sha256 in subject.photos] if subject.photos else photos}


def _with_body(people: People, settings: Train) -> People:
    usable = {person: [photo for photo in photos if _shows_body(photo, settings)] for person, photos in people.items()}
    return {person: photos for person, photos in usable.items() if photos}


def _shows_body(photo: Sample, settings: Train) -> bool:
    if not photo.keypoints:
        return False
    points = torch.tensor([photo.keypoints])
    return bool(visible(points, photo.height, photo.width, settings.min_keypoint_confidence, settings.keypoints).any())


def _splits(shards: ShardDataset) -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """The splits of each person, the splits of each photo and the people of each photo."""
    splits: dict[str, set[str]] = defaultdict(set)
    photo_splits: dict[str, set[str]] = defaultdict(set)
    photo_people: dict[str, set[str]] = defaultdict(set)
    for person, sha256, split in shards.places():
        splits[person].add(split)
        photo_splits[sha256].add(split)
        photo_people[sha256].add(person)
    return splits, photo_splits, photo_people


def _count_multiple(sets: dict[str, set[str]]) -> int:
    return sum(len(values) > 1 for values in sets.values())


def _refusal(
    report: PreflightReport, shards: ShardDataset, settings: Train, subject: Subject | None, photos_per_person: int
) -> str | None:
    """The error message, or None if the data may be trained on."""
    if report.people_in_two_splits or report.photos_in_two_splits:
        return (
            f"{shards.folder} leaks: {report.people_in_two_splits} people and {report.photos_in_two_splits} photos are "
            "in more than one split, so what is measured on one was trained on in another; run `bolid shard` again"
        )
    scope = f"of '{subject.person}'" if subject else "in split 'train'"
    if not report.people and not report.photos_without_visible_keypoints:
        return (
            f"{shards.folder} has no one {scope}; shard more people, or give 'train' a larger share in [shards] splits"
        )
    if not report.people:
        return (
            f"no photo {scope} of {shards.folder} has a visible keypoint (confidence "
            f"{settings.min_keypoint_confidence:g} or more); lower [train] min_keypoint_confidence"
        )
    if report.people_with_one_photo == report.people and photos_per_person > 1:
        return (
            f"no one {scope} of {shards.folder} has a second usable photo, so method '{settings.method}' would learn "
            "to copy its target; collect more photos of each person, or train a method of one person, such as 'lora'"
        )
    return None

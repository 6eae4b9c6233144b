"""The dataset doctor: what a training would be on, and whether that would be wrong, before its first step."""

import difflib
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain

import torch

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train
from bolid_train.data.shard_dataset import People, Sample, Shards
from bolid_train.data.weighting import visible

_WITHOUT_VIEWS = ("text", "lora")
"""Methods that need no second photo of a person."""


@dataclass(frozen=True)
class Report:
    """Counts, and no name. The first two are of what is trained on, the last three of the whole dataset."""

    people: int
    photos: int
    people_with_one_photo: int  # target and view at once: it teaches to copy
    photos_without_visible_keypoints: int  # left out
    photos_without_caption: int
    photos_smaller_than_resolution: int
    people_in_two_splits: int
    photos_in_two_splits: int
    photos_of_two_people: int

    def __str__(self) -> str:
        """One line, without what is zero."""
        first = f"{self.people} people, {self.photos} photos"
        rest = [f"{count} {name.replace('_', ' ')}" for name, count in list(vars(self).items())[2:] if count]
        return "; ".join([first, ", ".join(rest) or "nothing odd"])


def examine(shards: Shards, settings: Train) -> Report:
    """What a training by these settings would be on.

    Raises BolidError where training would be wrong: no one is left, a person or a photo is in two splits, or no one has
    a second photo, which the method needs.
    """
    everyone = _chosen(shards, settings)
    people = _with_body(everyone, settings)
    photos = list(chain.from_iterable(people.values()))
    splits, splits_of_photos, owners = _places(shards)
    report = Report(
        people=len(people),
        photos=len(photos),
        people_with_one_photo=sum(len(own) == 1 for own in people.values()),
        photos_without_visible_keypoints=sum(map(len, everyone.values())) - len(photos),
        photos_without_caption=sum(not photo.caption.strip() for photo in photos),
        photos_smaller_than_resolution=sum(min(photo.width, photo.height) < settings.resolution for photo in photos),
        people_in_two_splits=_several(splits),
        photos_in_two_splits=_several(splits_of_photos),
        photos_of_two_people=_several(owners),
    )
    if refusal := _refusal(report, shards, settings):
        raise BolidError(refusal)
    return report


def usable_people(shards: Shards, settings: Train, split: str = "train") -> People:
    """The people of a split with their photos that show a keypoint; the others cannot be weighted (method.md,
    section 1). For method lora only the one person, of whatever split, and only the photos that are named, if any are.

    Raises UsageError when that one is not given or is nobody, when a photo is not theirs, and for photos named for
    another method.
    """
    return _with_body(_chosen(shards, settings, split), settings)


def _chosen(shards: Shards, settings: Train, split: str = "train") -> People:
    if settings.method != "lora":
        if settings.photos:
            raise UsageError(f"[train] photos are of method lora alone; method '{settings.method}' takes all")
        return shards.people(split)
    if not settings.person:
        raise UsageError('method "lora" is trained on one person; name them in [train] person')
    splits: dict[str, set[str]] = defaultdict(set)
    for person, _, place in shards.places():
        splits[person].add(place)
    if settings.person not in splits:
        near = ", ".join(difflib.get_close_matches(settings.person, splits, n=3, cutoff=0.4))
        hint = f"; the nearest are {near}" if near else ""
        raise UsageError(f"[train] person = '{settings.person}': {shards.folder} has no such person{hint}")
    photos = [shards.people(place)[settings.person] for place in sorted(splits[settings.person])]
    return {settings.person: _named(list(chain.from_iterable(photos)), settings, shards)}


def _named(photos: list[Sample], settings: Train, shards: Shards) -> list[Sample]:
    """Those of a person's photos that the settings name, or all where they name none."""
    for sha256 in settings.photos:
        if sha256 not in {photo.sha256 for photo in photos}:
            raise UsageError(f"[train] photos: {shards.folder} has no photo {sha256} of '{settings.person}'")
    return [photo for photo in photos if photo.sha256 in settings.photos] if settings.photos else photos


def _with_body(people: People, settings: Train) -> People:
    shown = {person: [photo for photo in photos if _shows_body(photo, settings)] for person, photos in people.items()}
    return {person: photos for person, photos in shown.items() if photos}


def _shows_body(photo: Sample, settings: Train) -> bool:
    if not photo.keypoints:
        return False
    points = torch.tensor([photo.keypoints])
    return bool(visible(points, photo.height, photo.width, settings.min_keypoint_confidence, settings.keypoints).any())


def _places(shards: Shards) -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """The splits of people, the splits of photos and the owners of photos."""
    splits: dict[str, set[str]] = defaultdict(set)
    splits_of_photos: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, set[str]] = defaultdict(set)
    for person, sha256, split in shards.places():
        splits[person].add(split)
        splits_of_photos[sha256].add(split)
        owners[sha256].add(person)
    return splits, splits_of_photos, owners


def _several(places: dict[str, set[str]]) -> int:
    return sum(len(those) > 1 for those in places.values())


def _refusal(report: Report, shards: Shards, settings: Train) -> str | None:
    """What is wrong and what to do, or None."""
    if report.people_in_two_splits or report.photos_in_two_splits:
        return (
            f"{shards.folder} leaks: {report.people_in_two_splits} people and {report.photos_in_two_splits} photos are "
            "in more than one split, so what is measured on one was trained on in another; run `bolid shard` again"
        )
    whose = f"of '{settings.person}'" if settings.method == "lora" else "in split 'train'"
    if not report.people and not report.photos_without_visible_keypoints:
        return (
            f"{shards.folder} has no one {whose}; shard more people, or give 'train' a larger share in [shards] splits"
        )
    if not report.people:
        return (
            f"no photo {whose} of {shards.folder} has a visible keypoint (confidence "
            f"{settings.min_keypoint_confidence:g} or more); lower [train] min_keypoint_confidence"
        )
    if report.people_with_one_photo == report.people and settings.method not in _WITHOUT_VIEWS:
        return (
            f"no one {whose} of {shards.folder} has a second usable photo, so method '{settings.method}' would learn "
            "to copy its target; collect more photos of each person, or train method 'lora' or 'text'"
        )
    return None

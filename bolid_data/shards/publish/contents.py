"""What a card and Croissant say of a dataset, counted from its index and its lock."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bolid_data.manifest import Basis
from bolid_data.shard_index import SampleRow
from bolid_data.shards.publish.check import Checked

_BODY = {
    "head": range(5), "shoulders": (5, 6), "hands": (9, 10), "hips": (11, 12), "knees": (13, 14), "feet": (15, 16),
}  # fmt: skip
"""Parts of the body by COCO's keypoints."""
_VISIBLE = 0.5


@dataclass
class Split:
    people: set[str] = field(default_factory=set)
    photos: int = 0
    tars: list[dict[str, Any]] = field(default_factory=list)  # rows of the lock

    @property
    def bytes(self) -> int:
        return sum(tar["bytes"] for tar in self.tars)


@dataclass
class Contents:
    name: str
    licence: str | None
    lock: dict[str, Any]
    lock_sha256: str  # of its file, which adapters record
    basis: dict[str, Basis]  # by person
    with_lock: bool
    contact: str | None
    splits: dict[str, Split] = field(default_factory=dict)
    photos_of: Counter[str] = field(default_factory=Counter)
    visible: Counter[str] = field(default_factory=Counter)  # photos on which a part of the body is visible
    captioned: int = 0
    sides: tuple[int, int] = (0, 0)  # the shortest and the longest side of any photo

    @property
    def photos(self) -> int:
        return self.photos_of.total()

    @property
    def split_of(self) -> dict[str, str]:
        return {person: name for name, split in self.splits.items() for person in split.people}

    @property
    def is_synthetic(self) -> bool:
        """Whether nobody in it exists, as recorded."""
        return all(basis.basis == "synthetic" for basis in self.basis.values())


def count(checked: Checked, lock_sha256: str, with_lock: bool, licence: str | None, contact: str | None) -> Contents:
    lock = checked.lock
    contents = Contents(lock["name"], licence, lock, lock_sha256, checked.basis, with_lock, contact)
    contents.splits = {name: Split() for name, _ in lock["splits"]}
    for tar in lock["shards"]:
        contents.splits.setdefault(tar["split"], Split()).tars.append(tar)
    shortest, longest = 10**9, 0
    for row in checked.index.samples(maps=False):
        split = contents.splits[row["split"]]
        split.people.add(row["person"])
        split.photos += 1
        contents.photos_of[row["person"]] += 1
        contents.visible.update(_visible_parts(row))
        contents.captioned += bool(row["caption"])
        shortest, longest = min(shortest, row["width"], row["height"]), max(longest, row["width"], row["height"])
    contents.sides = (min(shortest, longest), longest)
    contents.splits = {name: split for name, split in contents.splits.items() if split.photos}
    return contents


def _visible_parts(row: SampleRow) -> Iterable[str]:
    keypoints = row["keypoints"]
    if keypoints:
        for part, joints in _BODY.items():
            if any(keypoints[joint][2] >= _VISIBLE for joint in joints):
                yield part

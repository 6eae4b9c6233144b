"""`bolid group`: proposes people for a folder of photos without names. Nothing in the folder is changed."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bolid_data.atomic_io import atomic_write
from bolid_data.curate.likeness_groups import group
from bolid_data.curate.measurers.dlib_face import DlibFaceMeasurer
from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.errors import BolidError, UsageError
from bolid_data.images import BrokenPhotoError, read_upright
from bolid_data.progress import bar

LIKENESS = 0.94
"""Cosine of a face and its person's mean, at least; docs/curation.md has the figures."""

MIN_SCORE = 0.5
"""Score of a person who may be the main person of a photo."""


@dataclass(frozen=True)
class Proposal:
    """The files of each proposed person, most photos first; and the files that are nobody's, by reason: `no_face`
    (none that is good enough), `alone` (nobody else looks like that) and `broken` (no photo)."""

    people: dict[str, list[Path]]
    others: dict[str, list[Path]]

    def summary(self) -> dict[str, Any]:
        return {
            "people": [{"person": person, "photos": len(files)} for person, files in self.people.items()],
            "others": {reason: len(files) for reason, files in self.others.items()},
        }


def propose_people(folder: Path, likeness: float = LIKENESS, min_photos: int = 2) -> Proposal:
    """Groups the photos below a folder by the faces of their main people; a group of fewer than `min_photos` is nobody.

    Raises UsageError for a folder that is missing or empty.
    """
    files = _files(folder)
    others: dict[str, list[Path]] = {"no_face": [], "alone": [], "broken": []}
    embedded, vectors = [], []
    for file, vector in _embed(files, others):
        embedded.append(file)
        vectors.append(np.array(vector, dtype=np.float32))
    labels = group(np.array(vectors).reshape(len(vectors), -1), likeness) if vectors else np.empty(0, dtype=int)
    groups: dict[int, list[Path]] = {}
    for file, label in zip(embedded, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(file)
    large = [groups[label] for label in sorted(groups) if len(groups[label]) >= min_photos]
    others["alone"] = sorted(file for files in groups.values() if len(files) < min_photos for file in files)
    return Proposal({f"person-{number:03d}": files for number, files in enumerate(large, start=1)}, others)


def write_list(proposal: Proposal, path: Path) -> None:
    """Writes a CSV file with the columns person and file."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["person", "file"])
        writer.writerows((person, file) for person, files in proposal.people.items() for file in files)


def link(proposal: Proposal, folder: Path) -> None:
    """Makes a folder of people as a `folder` source reads it, of hard links: they take no space, and a link to another
    folder would be refused there. Raises UsageError for a folder that is not empty, BolidError for one on another disk.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; name a new one")
    for person, files in proposal.people.items():
        (folder / person).mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files, start=1):  # numbered, as two folders may hold the same name
            try:
                os.link(file, folder / person / f"{number:05d}-{file.name}")
            except OSError as error:
                raise BolidError(
                    f"{folder}: cannot link {file} there ({error.strerror}); name a folder on the same disk"
                ) from error


def _files(folder: Path) -> list[Path]:
    """The files below a folder, sorted, except hidden ones and links."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name one with photos")
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        files += [path for path in paths if path.is_file() and not path.is_symlink()]
    if not files:
        raise UsageError(f"{folder}: no files in it; name a folder with photos")
    return sorted(files)


def _embed(files: Sequence[Path], others: dict[str, list[Path]]) -> Iterator[tuple[Path, list[float]]]:
    """Yields the files with an embedded face; adds the rest to `others`. Holds one photo at a time."""
    pose = PoseMeasurer()
    people: dict[str, Keypoints] = {}
    faces = DlibFaceMeasurer(pose.model, lambda _: people)
    with bar() as progress:
        for file in progress.track(files, description="group"):
            try:
                photo = Photo(str(file), read_upright(file))
            except BrokenPhotoError:
                others["broken"].append(file)
                continue
            people.clear()
            people |= _main_person(photo.sha256, pose.measure([photo])["detections"])
            rows = faces.measure([photo])["embeddings"]
            if rows:
                yield file, rows[0]["vector"]
            else:
                others["no_face"].append(file)


def _main_person(name: str, detections: list[dict[str, Any]]) -> dict[str, Keypoints]:
    """The keypoints of the largest person, as in `catalog/main_person.py`."""
    certain = [row for row in detections if row["score"] >= MIN_SCORE]
    return {name: max(certain, key=lambda row: _area(row["box"]))["keypoints"]} if certain else {}


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])

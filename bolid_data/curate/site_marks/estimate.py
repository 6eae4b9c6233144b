"""Estimates the marks of a host from a sample of its photos (Dekel et al., On the Effectiveness of Visible Watermarks,
CVPR 2017): the median of the gradients that many photos share at one place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bolid_data.curate.site_marks.coherence import Box, Coherence
from bolid_data.curate.site_marks.frames import Frame, anchored_frames, moving_frames
from bolid_data.curate.site_marks.gradients import gradient_field
from bolid_data.curate.site_marks.mark import Mark, from_field, strongest
from bolid_data.curate.site_marks.score import ELSEWHERE, correlation

MIN_PHOTOS = 10
"""Photos of a size group that it takes to look for marks."""

MIN_SUPPORT = 6
"""Photos of the sample that show a mark, at least, ..."""

MIN_PEOPLE = 3
"""... and people on them: one person's photos also share a studio, a T-shirt or a date."""

MIN_PIXELS = 400
"""Strong pixels of a mark, at least; fewer are found on any photo."""

MAX_MARKS = 4
"""Marks of a size group, at most."""

SUPPORTS = 0.3
"""Correlation from which a photo of the sample shows the mark that is estimated from the other photos."""

ALIKE = 0.95
"""Correlation of two photos' thumbnails from which they count as one: a copy shares everything with its original."""

_CANDIDATES = 6  # places tried for each mark
_ROUNDS = 3  # of choosing the photos that show a mark, and estimating it from them
_THUMBNAIL = 24  # pixels


@dataclass(frozen=True)
class SampledPhoto:
    """Grey levels (h, w), uint8, of a photo at its size group's scale, and whose photo it is."""

    person: str
    grey: np.ndarray


@dataclass(frozen=True)
class _Estimate:
    mark: Mark
    supporting: set[int]  # indices of the photos that show it
    agreement: float  # sum of their correlations with it, in standard deviations of chance


@dataclass(frozen=True)
class _Candidate:
    evidence: float
    frame: Frame
    box: Box


def estimate_marks(photos: Sequence[SampledPhoto], scale: float) -> list[Mark]:
    """The marks that photos of one host and size group show. `scale` is the factor by which the photos were shrunk.

    After each mark, the photos that show it are set aside, so that marks of fewer photos are found among the others.
    """
    marks: list[Mark] = []
    remaining = _different(photos)
    while len(marks) < MAX_MARKS and len(remaining) >= MIN_PHOTOS:
        greys = [photo.grey for photo in remaining]
        estimate = _best(remaining, anchored_frames(greys), scale) or _best(remaining, moving_frames(greys), scale)
        if estimate is None:
            break
        mark, supporting = estimate.mark, estimate.supporting
        marks.append(mark)
        remaining = [photo for i, photo in enumerate(remaining) if i not in supporting and not _shows(photo, mark)]
    return marks


def _shows(photo: SampledPhoto, mark: Mark) -> bool:
    """Whether a photo shows a mark at another place, where it was not looked for yet."""
    if mark.unit != "pixels" or any(a < b for a, b in zip(photo.grey.shape, mark.template.shape, strict=False)):
        return False
    found = correlation(mark.weighted, gradient_field(photo.grey)).max()
    return bool(found - ELSEWHERE >= SUPPORTS)


def _different(photos: Sequence[SampledPhoto]) -> list[SampledPhoto]:
    """The photos without those that look like an earlier one."""
    different: list[SampledPhoto] = []
    thumbnails = np.empty((0, _THUMBNAIL**2))
    for photo in photos:
        small = cv2.resize(photo.grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).ravel().astype(float)
        small -= small.mean()
        small /= max(1.0, float(np.linalg.norm(small)))
        if not (thumbnails @ small > ALIKE).any():
            different.append(photo)
            thumbnails = np.vstack([thumbnails, small])
    return different


def _best(photos: Sequence[SampledPhoto], frames: Iterable[list[Frame]], scale: float) -> _Estimate | None:
    """The mark that most of the photos show, and show best."""
    candidates: list[_Candidate] = []
    for same_photos in frames:
        for frame, coherence in zip(same_photos, _coherences(same_photos), strict=True):
            if not coherence.is_background:
                candidates += [_Candidate(evidence, frame, box) for evidence, box in coherence.boxes()]
    candidates.sort(key=lambda candidate: -candidate.evidence)
    estimates = [_estimate(photos, candidate, scale) for candidate in candidates[:_CANDIDATES]]
    return max(filter(None, estimates), key=lambda estimate: estimate.agreement, default=None)


def _coherences(frames: Sequence[Frame], indices: Iterable[int] | None = None) -> list[Coherence]:
    """The coherence of the same photos in several frames."""
    coherences = [Coherence(frame.size) for frame in frames]
    for i in range(len(frames[0].greys)) if indices is None else indices:
        field = gradient_field(frames[0].greys[i])
        for frame, coherence in zip(frames, coherences, strict=True):
            coherence.add(frame.laid(i, field))
    return coherences


def _estimate(photos: Sequence[SampledPhoto], candidate: _Candidate, scale: float) -> _Estimate | None:
    """The mark at a place; None if there is none."""
    frame, box = candidate.frame, candidate.box
    people = [photos[i].person for i in frame.indices]
    fields = _fields(frame, box)
    supporting = _supporting(fields, people)
    if len(supporting):  # a mark of few photos is coherent in parts only, until those photos are by themselves
        (around,) = _coherences([frame], supporting)
        box = max((other for _, other in around.boxes()), key=box.shared_area, default=box)
        fields = _fields(frame, box)
        supporting = _supporting(fields, people)
    if not len(supporting):
        return None
    median = np.median(fields[supporting], axis=0)
    trimmed = _around_strongest(median)
    median, box = trimmed.of(median), Box(box.x + trimmed.x, box.y + trimmed.y, trimmed.width, trimmed.height)
    anchor = frame.anchor or (0.0, 0.0)
    place = (box.x - round(anchor[0] * frame.size[0]), box.y - round(anchor[1] * frame.size[1]))
    mark = Mark(
        template=from_field(median),
        unit=frame.unit,
        anchor=frame.anchor,
        place=place if frame.anchor else (0, 0),
        scale=scale,
        longest=int(np.median([max(frame.greys[i].shape) for i in supporting])),
        photos=len(supporting),
    )
    pixels = np.count_nonzero(mark.weighted[1])
    if pixels < MIN_PIXELS:
        return None
    agreement = _scores_by_others(fields, supporting)[supporting].sum() * np.sqrt(pixels)
    return _Estimate(mark, {frame.indices[i] for i in supporting}, float(agreement))


def _around_strongest(template: np.ndarray) -> Box:
    """The box around a template's (h, w, 2) strongest gradients."""
    return Box(*cv2.boundingRect((strongest(template)[1] > 0).astype(np.uint8)))


def _fields(frame: Frame, box: Box) -> np.ndarray:
    """The photos' gradients in a box (n, h, w, 2)."""
    return np.stack([box.of(frame.laid(i)) for i in range(len(frame.greys))])


def _supporting(fields: np.ndarray, people: Sequence[str]) -> np.ndarray:
    """The indices of the fields (n, h, w, 2) that show what those have in common; none if they are too few, or of too
    few people."""
    supporting = np.arange(len(fields))
    for _ in range(_ROUNDS):
        supporting = np.flatnonzero(_scores_by_others(fields, supporting) >= SUPPORTS)
        if len(supporting) < MIN_SUPPORT or len({people[i] for i in supporting.tolist()}) < MIN_PEOPLE:
            return supporting[:0]
    return supporting


def _scores_by_others(fields: np.ndarray, supporting: np.ndarray) -> np.ndarray:
    """How strongly each photo shows what the other supporting ones share: a photo is not compared with a template that
    it is part of."""
    total = fields[supporting].sum(0)
    members = set(supporting.tolist())
    scores = np.empty(len(fields))
    for i, field in enumerate(fields):
        others = (total - field) / (len(members) - 1) if i in members else total / len(members)
        scores[i] = correlation(strongest(others), field).max()
    return scores

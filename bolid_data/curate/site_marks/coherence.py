"""Where photos that lie over each other share what is printed on them."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from bolid_data.curate.site_marks.gradients import NOISE

COHERENT = 3.0
"""Coherence from which a place may have a mark."""

MAX_SHARE = 0.2
"""Share of the frame that is coherent, at most, unless a mark is tiled; where photos share a background, it is more."""

LINE = 0.4
"""Share of a row or column that is coherent in a border or a letterbox, and in no mark."""

NEIGHBOURHOOD = 15
"""Side in pixels over which coherence is averaged: about a letter and its surroundings."""

NEAREST_TILE = 48
"""Pixels from one tile of a mark to the next, at least."""

REPEATED = 0.3
"""Autocorrelation from which what photos share is a tiled mark."""

_EDGE = 4  # pixels at the frame's edge, where resizing leaves lines
_GAP = (41, 21)  # pixels between the words and the lines of one mark, at most
_MARGIN = 6  # pixels around a mark
_LARGEST = (480, 320)  # pixels of a box


class Box(NamedTuple):
    x: int
    y: int
    width: int
    height: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """The part of an array (H, W, …) in the box."""
        return array[self.y : self.y + self.height, self.x : self.x + self.width]

    def shared_area(self, other: "Box") -> int:
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0, width) * max(0, height)


class Coherence:
    """How far the gradients of photos agree at each place of a frame. Its memory does not grow with the photos."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._sum = np.zeros((size[1], size[0], 2), np.float32)
        self._energy = np.full((size[1], size[0]), NOISE, np.float32)

    def add(self, field: np.ndarray) -> None:
        """Adds the compressed gradients (H, W, 2) of a photo in the frame."""
        x, y = field[..., 0], field[..., 1]  # numpy sums over two numbers slowly
        self._sum += field
        self._energy += x * x + y * y + NOISE

    @cached_property
    def map(self) -> np.ndarray:
        """How much more the gradients agree than those of unrelated photos do, on average over a neighbourhood (H, W):
        about 1 where they are unrelated, up to the number of photos where they are the same. Lines along the whole
        frame, as borders and letterboxes have, are 1."""
        ratio = (self._sum**2).sum(-1) / self._energy
        agree = ratio > COHERENT
        for axis in (0, 1):
            lines = np.convolve(agree.mean(1 - axis) > LINE, np.ones(7), "same") > 0
            ratio[lines if axis == 0 else (slice(None), lines)] = 1
        ratio[:_EDGE] = ratio[-_EDGE:] = 1
        ratio[:, :_EDGE] = ratio[:, -_EDGE:] = 1
        return cv2.blur(ratio, (NEIGHBOURHOOD, NEIGHBOURHOOD))

    @property
    def is_background(self) -> bool:
        """Whether so much of the frame is coherent that the photos share a background."""
        return self._is_wide and not self.is_tiled

    @property
    def _is_wide(self) -> bool:
        return float((self.map > COHERENT).mean()) > MAX_SHARE

    @property
    def is_tiled(self) -> bool:
        """Whether what the photos share covers much of the frame and repeats itself."""
        if not self._is_wide:
            return False
        shared = self._sum * (self.map > COHERENT)[..., None]
        height, width = shared.shape[:2]
        # Twice as large, so that one edge does not wrap around to the other.
        spectrum = np.fft.rfft2(shared, (2 * height, 2 * width), axes=(0, 1))
        repeated = np.fft.irfft2((np.abs(spectrum) ** 2).sum(-1))[:, : width // 2]
        y, x = np.indices(repeated.shape)
        y = np.minimum(y, 2 * height - y)
        near = (y < NEAREST_TILE) & (x < NEAREST_TILE)
        counted = ~near & (y < height // 2)
        overlapping = (1 - y / height) * (1 - x / width)  # the further away, the less there is to compare
        return bool((repeated / np.maximum(overlapping, 0.25))[counted].max() >= REPEATED * repeated[0, 0])

    def boxes(self) -> Iterator[tuple[float, Box]]:
        """The boxes around coherent areas, with how coherent each is in all."""
        joined = cv2.morphologyEx((self.map > COHERENT).astype(np.uint8), cv2.MORPH_CLOSE, np.ones(_GAP[::-1]))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
        evidence = np.bincount(labels.ravel(), np.maximum(self.map - COHERENT, 0).ravel(), count)
        for label in range(1, count):
            x, y, width, height = (int(value) for value in stats[label, :4])
            left, top = max(0, x - _MARGIN), max(0, y - _MARGIN)
            right, bottom = min(labels.shape[1], x + width + _MARGIN), min(labels.shape[0], y + height + _MARGIN)
            yield float(evidence[label]), self._densest(Box(left, top, right - left, bottom - top))

    def _densest(self, box: Box) -> Box:
        """The most coherent part of a box that is larger than it needs to be."""
        width, height = min(box.width, _LARGEST[0]), min(box.height, _LARGEST[1])
        if (width, height) == (box.width, box.height):
            return box
        sums = cv2.boxFilter(box.of(self.map), -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        sums = sums[: box.height - height + 1, : box.width - width + 1]
        y, x = np.unravel_index(sums.argmax(), sums.shape)
        return Box(box.x + int(x), box.y + int(y), width, height)

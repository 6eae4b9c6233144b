"""Frames in which the photos of a host are laid over each other: aligned at a corner, at the middle of an edge, at the
centre or, for a mark that moves, at the mark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import cv2
import numpy as np

from bolid_data.curate.site_marks.gradients import gradient_field

Unit = Literal["pixels", "width"]
"""How a site sizes its mark: the same number of pixels on every photo, or a share of the photo's width."""

Size = tuple[int, int]
"""Width and height in pixels."""

Point = tuple[int, int]

Anchor = tuple[float, float]
"""A point as fractions of width and height: a corner, the middle of an edge, or the centre."""

SIDE = 800
"""Longest side in pixels at which photos of a size group are compared; at half of it, small faint text is lost."""

WIDTH = 640
"""Width in pixels of every photo where a mark's size is a share of the width."""

CERTAIN_SHIFT = 10.0
"""Peak of the phase correlation of two photos, in standard deviations, from which they share something. Of unrelated
photos it is 6 to 9."""

SEEDS, COMPARED = 3, 20
"""Photos with which others are compared to find a mark that moves, and how many others."""


@dataclass(frozen=True)
class Frame:
    """Photos (grey levels (h, w), uint8) laid over each other on a canvas. `offsets` are the places of their upper left
    corners, `indices` say which photos of the sample they are."""

    unit: Unit
    anchor: Anchor | None  # None: at the mark, which moves
    size: Size
    indices: Sequence[int]
    greys: Sequence[np.ndarray]
    offsets: Sequence[Point]

    def laid(self, i: int, field: np.ndarray | None = None) -> np.ndarray:
        """The gradients (H, W, 2) of the i-th photo on the canvas, 0 outside of it; from its `field` (h, w, 2), if that
        is known."""
        canvas = np.zeros((self.size[1], self.size[0], 2), np.float32)
        field = gradient_field(self.greys[i]) if field is None else field
        here, there = [], []
        for start, full, part in zip(self.offsets[i], self.size, self.greys[i].shape[::-1], strict=True):
            low, high = max(0, start), max(0, start, min(full, start + part))
            here.append(slice(low, high))
            there.append(slice(low - start, high - start))
        canvas[here[1], here[0]] = field[there[1], there[0]]
        return canvas


def size_group(width: int, height: int) -> int:
    """The size group of a photo: the half octave of its longest side."""
    return round(2 * np.log2(max(width, height)))


def group_scale(group: int) -> float:
    """The factor by which photos of a size group are shrunk; it does not depend on which photos there are."""
    return min(1.0, SIDE / 2 ** (group / 2))


def scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def anchored_frames(greys: Sequence[np.ndarray]) -> Iterator[list[Frame]]:
    """Frames of all photos by unit and, in each, by anchor; those that would align them as another does are left
    out."""
    units: tuple[Unit, ...] = ("pixels", "width") if len({grey.shape[1] for grey in greys}) > 1 else ("pixels",)
    for unit in units:
        in_unit = [_in_unit(grey, unit) for grey in greys]
        sizes = [grey.shape[::-1] for grey in in_unit]
        middle = [int(np.median(lengths)) for lengths in zip(*sizes, strict=True)]
        across, down = ((0.0, 0.5, 1.0) if len(set(lengths)) > 1 else (0.0,) for lengths in zip(*sizes, strict=True))
        placed = {
            anchor: [
                (round(anchor[0] * (middle[0] - width)), round(anchor[1] * (middle[1] - height)))
                for width, height in sizes
            ]
            for anchor in product(across, down)
        }
        yield [
            Frame(unit, anchor, (middle[0], middle[1]), range(len(greys)), in_unit, offsets)
            for anchor, offsets in placed.items()
        ]


def moving_frames(greys: Sequence[np.ndarray]) -> Iterator[list[Frame]]:
    """Frames in which photos are aligned at what they share with one of the first photos, by phase correlation (Kuglin
    and Hines, 1975); photos that share nothing with it are left out."""
    greys = greys[:COMPARED]
    height, width = (max(lengths) for lengths in zip(*(grey.shape for grey in greys), strict=True))
    shape = (cv2.getOptimalDFTSize(height), cv2.getOptimalDFTSize(width))
    spectra = [_phases(grey, shape) for grey in greys]
    for seed in range(min(SEEDS, len(greys))):
        shifts = {seed: (0, 0)}
        for other in range(len(greys)):
            shift = _shift(spectra[seed], spectra[other]) if other != seed else None
            if shift:
                shifts[other] = shift
        indices = sorted(shifts)
        size, aligned = greys[seed].shape[::-1], [greys[i] for i in indices]
        yield [Frame("pixels", None, size, indices, aligned, [shifts[i] for i in indices])]


def _in_unit(grey: np.ndarray, unit: Unit) -> np.ndarray:
    if unit == "pixels" or grey.shape[1] == WIDTH:
        return grey
    return cv2.resize(grey, scaled(grey.shape[::-1], WIDTH / grey.shape[1]), interpolation=cv2.INTER_AREA)


def _phases(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    field = gradient_field(grey)
    spectrum = np.fft.fft2((field[..., 0] + 1j * field[..., 1]).astype(np.complex64), shape)
    return spectrum / (np.abs(spectrum) + 1e-3)


def _shift(a: np.ndarray, b: np.ndarray) -> Point | None:
    """How far b must be moved (x, y) so that what it shares with a is at the same place; None if nothing is certain."""
    peaks = np.fft.ifft2(a * np.conj(b)).real
    y, x = (int(i) for i in np.unravel_index(peaks.argmax(), peaks.shape))
    if peaks[y, x] < CERTAIN_SHIFT * peaks.std():
        return None
    height, width = peaks.shape
    return x - width if x > width // 2 else x, y - height if y > height // 2 else y

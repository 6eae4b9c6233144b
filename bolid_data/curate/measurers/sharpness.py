"""Sharpness of a photo and of boxes in it: the variance of the Laplacian (Pech-Pacheco et al., Diatom Autofocusing in
Brightfield Microscopy, 2000)."""

from collections.abc import Sequence

import cv2
import numpy as np

TILES = 8  # across and down
SHARP_SHARE = 0.9  # the sharpness is this quantile of the tiles'
MIN_SIDE = 8  # pixels; a smaller box holds too little to tell


def sharpness(grey: np.ndarray) -> float:
    """The sharpness of a grey uint8 image (h, w), 0 up, at a high quantile of its tiles: people judge a photo by its
    sharpest parts (Vu et al., S3, 2012), so a background out of focus is not blur. Not the maximum, which may be a
    watermark."""
    return _at_sharp_tiles(_laplacian(grey))


def sharpness_in(pixels: np.ndarray, boxes: Sequence[Sequence[float]]) -> list[float | None]:
    """The sharpness inside each box (x0, y0, x1, y1) of RGB uint8 pixels (h, w, 3); None for a box that is too small
    to tell."""
    if not boxes:
        return []
    laplacian = _laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    corners = [tuple(round(value) for value in box) for box in boxes]
    return [
        round(_at_sharp_tiles(laplacian[y0:y1, x0:x1]), 2) if min(x1 - x0, y1 - y0) >= MIN_SIDE else None
        for x0, y0, x1, y1 in corners
    ]


def _laplacian(grey: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.Laplacian(grey, cv2.CV_32F))


def _at_sharp_tiles(laplacian: np.ndarray) -> float:
    # Means over tiles: INTER_AREA averages, whatever the size.
    size = (min(TILES, laplacian.shape[1]), min(TILES, laplacian.shape[0]))
    mean, square = (cv2.resize(of, size, interpolation=cv2.INTER_AREA) for of in (laplacian, laplacian * laplacian))
    return max(0.0, float(np.quantile(square - mean * mean, SHARP_SHARE)))

"""Widths of a person straight from the pixels: a third opinion on a body, by no network.

It is for pictures of a whole person from the front, standing with arms down before a plain background, as a prompt can
ask for.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTHS = ("shoulders", "waist", "hips")
"""Of the silhouette, as shares of its height: shoulders with both arms, waist and hips without."""

_SHOULDERS, _WAIST, _HIPS = (0.2, 0.26), (0.3, 0.42), (0.42, 0.5)  # from the crown to the soles
_LEAST_HEIGHT = 0.7  # of the picture: a lower silhouette lacks its legs

_DEGREE = 3  # of the polynomial in x and y that the background's colours follow
_BORDER = 1 / 16  # of the side: where there is background
_ROUNDS = 6
_NOISE = np.array([1.0, 0.5, 0.5])  # least deviations of the background's L*, a*, b*
_SHADOW = 10.0  # of L*, by which a shadow may darken the background
_UNLIKE = 5.0  # deviations from the background


def silhouette(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The largest part of a picture (H, W, 3) that is unlike its background: (H, W).

    The background is what the colours at the border go on as. What is a little darker may be a shadow and does not
    count. Clothes of the background's colour are lost.
    """
    colours = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    away, noise = _off_background(colours)
    away[..., 0] = np.where(away[..., 0] > 0, away[..., 0], np.minimum(away[..., 0] + _SHADOW, 0))
    unlike = np.linalg.norm(away / np.maximum(noise, _NOISE), axis=2) > _UNLIKE
    _, labels, parts, _ = cv2.connectedComponentsWithStats(unlike.astype(np.uint8), connectivity=4)
    return np.asarray(labels == 1 + parts[1:, cv2.CC_STAT_AREA].argmax()) if len(parts) > 1 else unlike


def _off_background(colours: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far colours (H, W, 3) are from the background's, and the deviations (3,) of the background itself."""
    height, width = colours.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    powers = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    terms = np.stack([x**i * y**j for i, j in powers], axis=2)
    is_background = np.maximum(abs(x), abs(y)) > 1 - 2 * _BORDER
    for _ in range(_ROUNDS):  # each time without what the last fit does not explain
        weights = np.linalg.lstsq(terms[is_background], colours[is_background], rcond=None)[0]
        away = colours - terms @ weights
        noise = 1.4826 * np.median(abs(away[is_background]), axis=0)
        is_background = (abs(away) < 3 * np.maximum(noise, _NOISE / 2)).all(2)
    return away, noise


def widths(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """WIDTHS (3,) of a silhouette (H, W); NaN for what cannot be told, such as the waist where an arm hides it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    unknown = np.full(len(WIDTHS), np.nan)
    if not len(rows) or len(rows) < _LEAST_HEIGHT * len(mask):
        return unknown
    if rows[0] == 0 or rows[-1] == len(mask) - 1 or columns[0] == 0 or columns[-1] == mask.shape[1] - 1:
        return unknown
    person = mask[rows[0] : rows[-1] + 1]
    middle = np.median(np.nonzero(person[: len(person) // 2])[1]) + 0.5
    runs = [_runs(row, middle) for row in person]

    def between(low: float, high: float, arms: int) -> list[float]:
        """Widths of the middle run in rows with at least so many runs on each side."""
        some = runs[int(low * len(runs)) : int(np.ceil(high * len(runs)))]
        return [across for left, across, right in some if across and min(left, right) >= arms]

    shoulders, waist, hips = between(*_SHOULDERS, arms=0), between(*_WAIST, arms=1), between(*_HIPS, arms=1)
    across = [
        np.median(shoulders) if len(shoulders) > 1 else np.nan,
        np.quantile(waist, 0.25) if len(waist) > 1 else np.nan,
        np.median(hips) if len(hips) > 1 else np.nan,
    ]
    return np.array(across) / len(person)


def _runs(row: NDArray[np.bool_], middle: float) -> tuple[int, int, int]:
    """How many runs of True are on the left of the middle, the width of that around it (0 if none), how many on the
    right."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    around = (starts <= middle) & (middle < ends)
    return int((ends <= middle).sum()), int((ends - starts)[around].sum()), int((starts > middle).sum())

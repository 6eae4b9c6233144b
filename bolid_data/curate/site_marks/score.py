"""How strongly a photo shows a mark: the normalised correlation of its gradients with the mark's strongest ones."""

import cv2
import numpy as np
from PIL import Image

from bolid_data.curate.site_marks.frames import scaled
from bolid_data.curate.site_marks.gradients import NOISE, gradient_field, to_grey
from bolid_data.curate.site_marks.mark import Mark, Weighted

NEARBY = 6
"""Pixels by which a mark may be away from its place, as rounding and small crops move it."""

ELSEWHERE = 0.15
"""Taken off a score that is not from near the mark's place: among so many places, chance finds a better one."""

CERTAIN = 0.6
"""From this score on, the photo is not searched for a better place."""


def score(mark: Mark, image: Image.Image) -> float:
    """The highest normalised correlation of a photo (RGB) with a mark near its place or, less ELSEWHERE, anywhere:
    1 where all gradients have the mark's direction, about 0 where they are unrelated."""
    best = 0.0
    for factor in mark.scales(image.size):
        field = gradient_field(to_grey(image, scaled(image.size, factor)))
        field = np.pad(field, ((NEARBY, NEARBY), (NEARBY, NEARBY), (0, 0)))  # a crop may have cut off a mark's edge
        if (nearby := _nearby(mark, field)) is not None:
            best = max(best, float(correlation(mark.weighted, nearby).max()))
        if best < CERTAIN and _fits(mark, field):
            best = max(best, float(correlation(mark.weighted, field).max()) - ELSEWHERE)
        if best >= CERTAIN:
            break
    return best


def correlation(weighted: Weighted, field: np.ndarray) -> np.ndarray:
    """The normalised correlation of a template and weights with a field (H, W, 2) at each place of
    the template's upper left corner (H - h + 1, W - w + 1). Areas without any gradients correlate with nothing."""
    template, weights = weighted
    product = cv2.matchTemplate(field, template, cv2.TM_CCORR)
    x, y = field[..., 0], field[..., 1]
    energy = cv2.matchTemplate(x * x + y * y, weights, cv2.TM_CCORR)
    # With weights w and t the template divided by them, of length 1: sum w <t, f> / sqrt(sum w  sum w f²).
    total = float(weights.sum())
    return product / np.sqrt(total * (np.maximum(energy, 0) + NOISE * total))


def _nearby(mark: Mark, field: np.ndarray) -> np.ndarray | None:
    """The part of a field, with a border of NEARBY pixels, around the mark's place; None where it has no place, or the
    template does not fit in."""
    if mark.anchor is None:
        return None
    height, width = (length - 2 * NEARBY for length in field.shape[:2])
    x, y = (
        max(0, round(a * length) + offset)
        for a, length, offset in zip(mark.anchor, (width, height), mark.place, strict=True)
    )
    h, w = mark.template.shape[:2]
    window = field[y : y + h + 2 * NEARBY, x : x + w + 2 * NEARBY]
    return window if window.shape[0] >= h and window.shape[1] >= w else None


def _fits(mark: Mark, field: np.ndarray) -> bool:
    return field.shape[0] >= mark.template.shape[0] and field.shape[1] >= mark.template.shape[1]

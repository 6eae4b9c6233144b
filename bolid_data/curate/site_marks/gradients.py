"""Gradients of a photo, compressed so that faint print counts nearly as much as the edges of the scene."""

import cv2
import numpy as np
from PIL import Image

KNEE = 6.0
"""Grey levels of a step at which its compressed gradient has length 0.5."""

STROKE = 9
"""Pixels over which a mark's gradients cancel out, as a stroke has two edges. What remains is subtracted."""

NOISE = 0.01
"""Mean square of compressed gradients in areas that only have the noise of compression."""


def to_grey(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """An RGB image as grey levels (h, w), uint8, resized to `size` (width, height)."""
    grey = image.convert("L")
    if size == grey.size:
        return np.asarray(grey)
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def gradient_field(grey: np.ndarray) -> np.ndarray:
    """Compressed Sobel gradients (h, w, 2) of grey levels (h, w): g / (|g| + KNEE).

    The direction is kept, and lengths are between 0 and 1: a mark's faint edges weigh almost as much as the strong
    edges of the scene, which differ from photo to photo and cancel out. The mean over STROKE pixels is subtracted:
    people stand in the middle of most photos, so their outlines are alike to within some pixels, while those of a mark
    are the same.
    """
    field = np.empty((*grey.shape, 2), np.float32)
    for axis in (0, 1):
        field[..., axis] = cv2.Sobel(grey, cv2.CV_32F, 1 - axis, axis, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    field /= np.hypot(field[..., 0], field[..., 1])[..., None] + KNEE
    return field - cv2.blur(field, (STROKE, STROKE))

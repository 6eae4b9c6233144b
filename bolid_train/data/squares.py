"""Photos as squares, which image encoders take, and where keypoints are in them."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Fit = Literal["pad", "squash"]
"""How a photo becomes a square: padded, which keeps the body's proportions, or resized without keeping its own."""


def resized(photo: Image.Image, side: int, fit: Fit) -> Tensor:
    """The photo (3, h, w) in 0..1, resized to fit a square of `side` pixels; not yet padded."""
    scale = side / max(photo.size)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale))) if fit == "pad" else (side, side)
    image = photo.resize(size, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)


def padded(image: Tensor, side: int) -> Tensor:
    """The image (3, h, w) in the middle of a square (3, side, side) of zeros. Normalise first: zero is then the mean
    colour, of which an encoder expects nothing."""
    if image.shape[1:] == (side, side):
        return image
    square = image.new_zeros(3, side, side)
    top, left = ((side - length) // 2 for length in image.shape[1:])
    square[:, top : top + image.shape[1], left : left + image.shape[2]] = image
    return square


def squares(images: list[Tensor], side: int, normalise: Callable[[Tensor], Tensor]) -> Tensor:
    """The images, normalised and padded: (N, 3, side, side)."""
    return torch.stack([padded(normalise(image), side) for image in images])


def in_squares(points: Tensor, sizes: Tensor, fit: Fit) -> tuple[Tensor, Tensor]:
    """Where keypoints are in the squares.

    Args:
        points: (N, 17, 3): x, y as fractions of the photo's width and height, confidence. sizes: (N, 2): the photos'
            width and height in pixels.

    Returns:
        The points as fractions of the square, those outside of the photo with confidence 0; and what (N, 2) the square
        is wide and high, in pixels of the photo.
    """
    if fit == "squash":
        return points, sizes
    longest = sizes.amax(dim=1, keepdim=True)
    margins = (longest - sizes) / 2
    positions = (points[..., :2] * sizes[:, None] + margins[:, None]) / longest[:, None]
    inside = ((points[..., :2] >= 0) & (points[..., :2] < 1)).all(dim=-1, keepdim=True)
    return torch.cat([positions, points[..., 2:] * inside], dim=-1), longest.expand(-1, 2)

"""The small world's photos as what networks take."""

from typing import Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor


class Pictured(Protocol):
    """N photos of any world."""

    @property
    def images(self) -> NDArray: ...  # (N, H, W, 3) uint8


def pixels(photos: Pictured, rows: Tensor) -> Tensor:
    """The photos with these numbers (B,), as (B, 3, H, W) in -1..1."""
    return scaled(torch.from_numpy(photos.images[rows.numpy()]))


def scaled(images: Tensor) -> Tensor:
    """Images (B, H, W, 3) of bytes as (B, 3, H, W) in -1..1."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1

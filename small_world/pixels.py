"""The small world's photos as what networks take."""

import torch
from torch import Tensor

from small_world.world.photos import Photos


def pixels(photos: Photos, rows: Tensor) -> Tensor:
    """The photos with these numbers (B,), as (B, 3, H, W) in -1..1."""
    images = torch.from_numpy(photos.images[rows.numpy()])
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1

"""Images as one picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

COLUMNS = 8


def sheet(images: Tensor) -> Image.Image:
    """Images (N, 3, H, W) in -1..1 in rows of COLUMNS."""
    tiles = to_bytes(images)
    rows = [np.concatenate(list(tiles[i : i + COLUMNS]), axis=1) for i in range(0, len(tiles), COLUMNS)]
    return Image.fromarray(np.concatenate(rows, axis=0))


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, 3, H, W) in -1..1 as (N, H, W, 3)."""
    array: NDArray[np.uint8] = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return array

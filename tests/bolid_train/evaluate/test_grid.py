"""The grid of images: what is seen on the file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bolid_train.evaluate.grid import write_grid


def test_tall_and_wide_images_keep_their_shape(tmp_path: Path) -> None:
    sizes = [(48, 80), (64, 64), (80, 48)]
    tiles = [(Image.new("RGB", size, "red"), "a caption") for size in sizes]
    write_grid(["tall", "square", "wide"], [tiles, tiles[::-1]], tmp_path / "grid.png")
    pixels = np.asarray(Image.open(tmp_path / "grid.png").convert("RGB")).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1:].max(axis=2) < 60)
    height, width = red.shape
    for row, of_row in enumerate((sizes, sizes[::-1])):
        for column, size in enumerate(of_row):
            tile = red[row * height // 2 : (row + 1) * height // 2, column * width // 3 : (column + 1) * width // 3]
            shown = tile.any(axis=0).sum(), tile.any(axis=1).sum()
            assert shown[0] / shown[1] == pytest.approx(size[0] / size[1], rel=0.03)
            assert max(shown) > 150, "and are as large as squares"

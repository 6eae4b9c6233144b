"""A grid of images, with a title over each column and a caption under each image."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bolid_data.atomic_io import atomic_write
from bolid_data.printable import one_line, printable_lines

_SIDE, _CAPTION, _TITLE = 1.8, 0.75, 0.45  # heights in inches of an image, of the caption under it, of the titles
_DPI, _LINE_LENGTH, _MAX_LINES = 96, 34, 8

Tile = tuple[Image.Image, str]
"""An image and its caption."""


def write_grid(titles: Sequence[str], rows: Sequence[Sequence[Tile | None]], path: Path) -> None:
    """Writes a PNG of the rows, each with as many tiles as there are titles; None leaves a tile empty."""
    height = _TITLE + (_SIDE + _CAPTION) * len(rows)
    figure = Figure(figsize=(1.05 * _SIDE * len(titles), height))
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    bottom = _CAPTION / height
    figure.subplots_adjust(0.01, bottom, 0.99, 1 - _TITLE / height, wspace=0.05, hspace=_CAPTION / _SIDE)
    for row_axes, row in zip(axes, rows, strict=True):
        for axis, tile in zip(row_axes, row, strict=True):
            axis.set(xticks=[], yticks=[], frame_on=False)
            if tile:
                axis.imshow(np.asarray(tile[0]), interpolation="lanczos")
                lines = textwrap.wrap(one_line(tile[1]), _LINE_LENGTH, max_lines=_MAX_LINES, placeholder=" …")
                axis.set_xlabel("\n".join(lines), fontsize=6, parse_math=False)  # a caption is not a formula
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(printable_lines(title), fontsize=9, parse_math=False)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=_DPI, format="png")

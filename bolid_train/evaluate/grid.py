"""Pictures side by side, with a title over each column and a few words under each picture."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bolid_data.atomic_io import atomic_write
from bolid_data.printable import one_line, printable_lines

_SIDE, _WORDS, _HEAD = 1.8, 0.75, 0.45  # inches: of a picture, of the words under it, of the titles
_DPI, _LETTERS, _LINES = 96, 34, 8

Tile = tuple[Image.Image, str]
"""A picture and what stands under it."""


def write_grid(titles: Sequence[str], rows: Sequence[Sequence[Tile | None]], path: Path) -> None:
    """Writes one PNG of the rows, each with as many tiles as there are titles; where there is None, it is empty."""
    height = _HEAD + (_SIDE + _WORDS) * len(rows)
    figure = Figure(figsize=(1.05 * _SIDE * len(titles), height))
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    below = _WORDS / height
    figure.subplots_adjust(0.01, below, 0.99, 1 - _HEAD / height, wspace=0.05, hspace=_WORDS / _SIDE)
    for own, row in zip(axes, rows, strict=True):
        for axis, tile in zip(own, row, strict=True):
            axis.set(xticks=[], yticks=[], frame_on=False)
            if tile:
                axis.imshow(np.asarray(tile[0]), interpolation="lanczos")
                words = textwrap.wrap(one_line(tile[1]), _LETTERS, max_lines=_LINES, placeholder=" …")
                axis.set_xlabel("\n".join(words), fontsize=6, parse_math=False)  # a caption is no formula
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(printable_lines(title), fontsize=9, parse_math=False)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=_DPI, format="png")

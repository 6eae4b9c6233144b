"""`python -m small_world.world3d.pictures`: the pictures of docs/small-world-3d.md, of people who are in no set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from small_world.world3d.photos import Photos, draw_split
from small_world.world3d.splits import SECOND_RENDERER, TRAIN

FOLDER = Path(__file__).parents[2] / "docs" / "small-world-3d"
_SEED = 33_200


def main() -> None:
    """Writes both pictures: six people, and three of the same bodies by the second renderer."""
    people = replace(TRAIN, seed=_SEED, people=6, photos=8)
    drawn = replace(SECOND_RENDERER, seed=_SEED, people=3, photos=8, same_looks=True)
    FOLDER.mkdir(exist_ok=True)
    for name, split in (("people", people), ("second-renderer", drawn)):
        _sheet(draw_split(split)).save(FOLDER / f"{name}.jpg", quality=90)


def _sheet(photos: Photos) -> Image.Image:
    """A row of photos for each person."""
    rows = [np.concatenate(list(photos.images[photos.people == number]), 1) for number in np.unique(photos.people)]
    return Image.fromarray(np.concatenate(rows))


if __name__ == "__main__":
    main()

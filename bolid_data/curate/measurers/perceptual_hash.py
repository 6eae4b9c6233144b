"""Perceptual hashes, from which near copies are found (Zauner, Implementation and Benchmarking of Perceptual Image
Hash Functions, 2010)."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imagehash
from PIL import Image, ImageOps

from bolid_data.curate.measurers.measurer import Photo, describe_model
from bolid_data.weights import Weights

Crop = tuple[float, float, float, float]
"""Fractions of the width or height that are cut off: left, top, right, bottom."""

# A hash tolerates about 2 % cut off one side and 1.5 % all round. For more, the other photo is cropped too, in steps
# without gaps; benchmarks/duplicates.py measures which of them are worthwhile.
CROPS: tuple[Crop, ...] = (
    *(crop for cut in (0.045, 0.09) for crop in ((cut, 0, 0, 0), (0, cut, 0, 0), (0, 0, cut, 0), (0, 0, 0, cut))),
    *(crop for cut in (0.04, 0.08) for crop in ((cut, 0, cut, 0), (0, cut, 0, cut))),
    *((cut, cut, cut, cut) for cut in (0.025, 0.05, 0.075, 0.1)),
)

_SIDE, _HASH_SIDE = 128, 32  # pixels of the square that is cropped, and of the input of the DCT


class HashMeasurer:
    """Records the 64-bit DCT hash of each photo, which differs in few bits between similar photos, and as `views` the
    hashes that mirrored or slightly cropped copies of it would have."""

    def __init__(self) -> None:
        # No weights: a hash depends on the library that computes it and on the one that resizes.
        code = Weights("phash", Path(imagehash.__file__), "", "BSD-2-Clause")
        self.model = describe_model(code, imagehash=version("imagehash"), pillow=version("pillow"), crops=CROPS)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        return {"hashes": [{"sha256": photo.sha256} | hash_views(photo.image) for photo in photos]}


def hash_views(image: Image.Image, crops: Sequence[Crop] = CROPS) -> dict[str, Any]:
    """`phash`, the library's hash, and `views`, the hashes of the photo mirrored and with each crop."""
    grey = image.convert("L")
    square = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return {"phash": _phash(grey), "views": [_phash(ImageOps.mirror(square)), *map(_phash, _cropped(square, crops))]}


def _cropped(square: Image.Image, crops: Sequence[Crop]) -> Iterator[Image.Image]:
    for left, top, right, bottom in crops:
        box = (left * _SIDE, top * _SIDE, (1 - right) * _SIDE, (1 - bottom) * _SIDE)
        yield square.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.LANCZOS, box)


def _phash(image: Image.Image) -> int:
    return int(str(imagehash.phash(image)), 16)

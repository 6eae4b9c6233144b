"""Perceptual hashes, by which near-duplicates of a photo are found (Zauner, Implementation and Benchmarking
of Perceptual Image Hash Functions, 2010)."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imagehash

from bolid_data.curate.measure import Photo, describe_model
from bolid_data.weights import Weights


class HashMeasurer:
    """Writes the 64-bit DCT hash of each photo; similar photos differ in few bits."""

    def __init__(self) -> None:
        # No weights: what could change a hash is the library that computes it and the one that shrinks.
        code = Weights("phash", Path(imagehash.__file__), "", "BSD-2-Clause")
        self.model = describe_model(code, imagehash=version("imagehash"), pillow=version("pillow"))

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        return {"hashes": [{"sha256": photo.sha256, "phash": _phash(photo)} for photo in photos]}


def _phash(photo: Photo) -> int:
    return int(str(imagehash.phash(photo.image)), 16)

"""The interface of measurers: models that record what they detect on photos, never a verdict."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image

from bolid_data.records import Model
from bolid_data.weights import Weights

MIN_SCORE = 0.05
"""Detections below this score are not stored; all others are, whatever the manifest's thresholds."""


Keypoints = list[list[float]]
"""17 COCO keypoints (x, y, confidence) in pixels of the upright photo."""


PAD_VALUE = 114
"""The grey value with which photos are padded, as in the training of YOLO."""

_LARGEST_FIT = 640


@dataclass(frozen=True)
class Photo:
    """A decoded photo: upright RGB."""

    sha256: str
    image: Image.Image

    def fit(self, side: int, multiple: int = 1) -> tuple[np.ndarray, float]:
        """The photo resized to `side` pixels at its longest, then padded with grey at its right and lower
        edge to a multiple of `multiple` pixels.

        Returns uint8 (h, w, 3) and the scale: a point of the photo times the scale is its point in the array.
        """
        scale = side / max(self.image.size)
        width, height = (max(1, round(length * scale)) for length in self.image.size)
        # Reducing by an integer factor first, once for all measurers, takes a third of the time.
        source = self.image if side > _LARGEST_FIT else self._reduced
        pixels = np.asarray(source.resize((width, height), Image.Resampling.BILINEAR))
        padding = (-height % multiple, -width % multiple)
        return np.pad(pixels, ((0, padding[0]), (0, padding[1]), (0, 0)), constant_values=PAD_VALUE), scale

    @cached_property
    def _reduced(self) -> Image.Image:
        factor = max(1, max(self.image.size) // _LARGEST_FIT)
        return self.image.reduce(factor) if factor > 1 else self.image


class Measurer(Protocol):
    """Measures photos in batches. Rows are rounded before they are returned, and a photo's rows do not depend on the
    rest of its batch (models get fixed, padded batches), so that a resumed run gives the same dataset."""

    model: Model

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        """Rows by catalog table (`detections`, `watermarks`, `hashes`, …), each with its `sha256`, without `model`."""
        ...


def describe_model(weights: Weights, **config: Any) -> Model:
    """The catalog's entry of a model: its id changes with the weights' bytes and with the configuration."""
    settings = json.dumps(config, sort_keys=True)
    digest = hashlib.sha256(f"{weights.sha256} {settings}".encode()).hexdigest()
    return Model(
        f"{weights.name}@{digest[:12]}", weights.name, weights.sha256, settings, weights.licence, weights.revision
    )

"""What a measurer is: a model that writes down what it saw on photos, never a verdict."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from bolid_data.records import Model
from bolid_data.weights import Weights

FLOOR = 0.05
"""Detections below this score are not written down; everything above is, whatever the manifest's thresholds."""


Keypoints = list[list[float]]
"""17 COCO keypoints (x, y, confidence) in pixels of the upright photo."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo: upright RGB."""

    sha256: str
    image: Image.Image


class Measurer(Protocol):
    """Sees photos in batches. Its rows are rounded before they are returned, and a photo's rows do not depend on
    the photos beside it (models get fixed, padded batches), so that a resumed run gives the same dataset."""

    model: Model

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        """Rows by catalog table (`detections`, `watermarks`, `hashes`), each with its `sha256`, without `model`."""
        ...


def describe_model(weights: Weights, **config: Any) -> Model:
    """The catalog's entry of a model: its id changes with the weights' bytes and with the configuration."""
    settings = json.dumps(config, sort_keys=True)
    digest = hashlib.sha256(f"{weights.sha256} {settings}".encode()).hexdigest()
    return Model(f"{weights.name}@{digest[:12]}", weights.name, weights.sha256, settings, weights.licence)

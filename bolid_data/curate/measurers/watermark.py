"""Whether a watermark lies over a photo."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bolid_data import weights
from bolid_data.curate.measurers.measurer import GREY, Photo, describe_model
from bolid_data.curate.measurers.watermark_network import SIDE, STRIDE, load
from bolid_data.curate.runtime import Network, OfPixels, describe


class WatermarkMeasurer:
    """Writes the probability that a watermark lies over the photo."""

    def __init__(self, name: str = "bolid-watermark", device: str = "cpu") -> None:
        found = weights.find(name)
        self.model = describe_model(found, side=SIDE, runtime=describe(device))
        example = torch.zeros(1, SIDE, SIDE - 2 * STRIDE, 3, dtype=torch.uint8)
        self._network = Network(partial(_load, found.path), found, example, (-1, -1, -1, 3), device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        seen = self._network.see([to_pixels(photo) for photo in photos])
        return {
            "watermarks": [
                {"sha256": photo.sha256, "probability": round(float(1 / (1 + np.exp(-logit.astype(np.float64)))), 4)}
                for photo, (_, logit) in zip(photos, seen, strict=True)
            ]
        }


def to_pixels(photo: Photo) -> np.ndarray:
    """The photo as the network takes it: (h, w, 3) in 0..255, longest side SIDE, no side below one stride.

    In its own shape: no padding that could pass for an edge.
    """
    pixels, _ = photo.fit(SIDE)
    short = [(0, max(0, STRIDE - length)) for length in pixels.shape[:2]]
    return np.pad(pixels, (*short, (0, 0)), constant_values=GREY)


def to_tensor(photo: Photo) -> Tensor:
    """The same as (1, 3, h, w) in 0..1."""
    return torch.from_numpy(to_pixels(photo)).permute(2, 0, 1)[None].float() / 255


def _load(path: Path) -> nn.Module:
    return OfPixels(load(path))

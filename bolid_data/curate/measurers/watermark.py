"""Watermarks, by the embedded classifier."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bolid_data import weights
from bolid_data.curate.measurers.measurer import PAD_VALUE, Photo, describe_model
from bolid_data.curate.measurers.watermark_network import SIDE, STRIDE, load
from bolid_data.curate.runtime import Network, PixelInput, describe


class WatermarkMeasurer:
    """Records the probability that the photo has a watermark."""

    def __init__(self, name: str = "bolid-watermark", device: str = "cpu") -> None:
        model_weights = weights.find(name)
        self.model = describe_model(model_weights, side=SIDE, runtime=describe(device))
        example = torch.zeros(1, SIDE, SIDE - 2 * STRIDE, 3, dtype=torch.uint8)
        self._network = Network(partial(_load, model_weights.path), model_weights, example, (-1, -1, -1, 3), device)

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        outputs = self._network.infer([to_pixels(photo) for photo in photos])
        return {
            "watermarks": [
                {"sha256": photo.sha256, "probability": round(float(1 / (1 + np.exp(-logit.astype(np.float64)))), 4)}
                for photo, (_, logit) in zip(photos, outputs, strict=True)
            ]
        }


def to_pixels(photo: Photo) -> np.ndarray:
    """The network's input: (h, w, 3) in 0..255, longest side SIDE, no side below one stride.

    Otherwise not padded: an edge could pass for a watermark.
    """
    pixels, _ = photo.fit(SIDE)
    padding = [(0, max(0, STRIDE - length)) for length in pixels.shape[:2]]
    return np.pad(pixels, (*padding, (0, 0)), constant_values=PAD_VALUE)


def to_tensor(photo: Photo) -> Tensor:
    """The same pixels as (1, 3, h, w) in 0..1."""
    return torch.from_numpy(to_pixels(photo)).permute(2, 0, 1)[None].float() / 255


def _load(path: Path) -> nn.Module:
    return PixelInput(load(path))

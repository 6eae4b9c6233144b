"""Whether a watermark lies over a photo."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bolid_data import weights
from bolid_data.curate.measure import Photo, describe_model
from bolid_data.curate.watermark_network import SIDE, STRIDE, load
from bolid_data.images import letterbox


class WatermarkMeasurer:
    """Writes the probability that a watermark lies over the photo."""

    def __init__(self, name: str = "bolid-watermark", device: str = "cpu") -> None:
        found = weights.find(name)
        self.model = describe_model(found, side=SIDE)
        self._device = torch.device(device)
        self._network = load(found.path).to(self._device)

    @torch.inference_mode()
    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        rows = [{"sha256": photo.sha256, "probability": self._probability(photo)} for photo in photos]
        return {"watermarks": rows}

    def _probability(self, photo: Photo) -> float:
        # One at a time, so that a photo is seen in its own shape: no padding that could pass for an edge.
        _, logit = self._network(to_tensor(photo).to(self._device))
        return round(float(logit.sigmoid()), 4)


def to_tensor(photo: Photo) -> Tensor:
    """The photo as the network takes it: (1, 3, h, w) in 0..1, longest side SIDE, no side below one stride."""
    square, scale = letterbox(photo.image, SIDE)
    width, height = (max(STRIDE, round(side * scale)) for side in photo.image.size)
    return torch.from_numpy(square[:height, :width]).permute(2, 0, 1)[None].float() / 255

"""Watermark classifiers by name, as their authors trained them: boomb0om's ConvNeXt-tiny (boomb0om/watermark-detectors)
and LAION's EfficientNet-B3 (github.com/LAION-AI/LAION-5B-WatermarkDetection)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.models.convnext import checkpoint_filter_fn
from torch import Tensor, nn

from bolid_data import weights
from bolid_data.curate.measurers.measurer import Photo, describe_model
from bolid_data.curate.runtime import Network, OfPixels, describe
from bolid_data.errors import BolidError

SIDE = 256
"""Side in pixels of the square that a photo is squashed to, whatever its shape: both were trained so."""


class HubWatermarkMeasurer:
    """Writes the probability that a watermark lies over the photo; `name` is a local folder or a hub repository that
    holds one of the files in `LAYOUTS` under its own name."""

    def __init__(self, name: str, near: Path, device: str = "cpu") -> None:
        path = weights.file(name, tuple(LAYOUTS), near)
        layout = LAYOUTS[path.name]
        found = weights.Weights(name, path, weights.file_sha256(path), "the model's own")
        self.model = describe_model(found, side=SIDE, file=path.name, runtime=describe(device))
        example = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
        self._watermark = layout.watermark
        self._network = Network(partial(layout.of_pixels, path), found, example, tuple(example.shape), device)
        self._network(example)  # a file that holds something else is found out now, not in the midst of a run

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        seen = self._network.see([squash(photo.image) for photo in photos])
        logits = torch.tensor([output.tolist() for (output,) in seen], dtype=torch.float64).reshape(-1, 2)
        probabilities = logits.softmax(1)[:, self._watermark].tolist()
        return {
            "watermarks": [
                {"sha256": photo.sha256, "probability": round(probability, 4)}
                for photo, probability in zip(photos, probabilities, strict=True)
            ]
        }


def squash(image: Image.Image) -> np.ndarray:
    """An RGB image as (SIDE, SIDE, 3) pixels."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def convnext(path: Path) -> nn.Module:
    """boomb0om's network: images (b, 3, h, w), normalised as for ImageNet, to logits (b, 2): clean, watermark."""
    network: Any = timm.create_model("convnext_tiny", num_classes=2)
    network.head.fc = nn.Sequential(nn.Linear(768, 512), nn.GELU(), nn.Linear(512, 256), nn.GELU(), nn.Linear(256, 2))
    # The original is Meta's own module, whose names timm knows how to turn into its own.
    return _fill(network, path, partial(checkpoint_filter_fn, model=network))


def efficientnet(path: Path) -> nn.Module:
    """LAION's network: images (b, 3, h, w), normalised as for ImageNet, to logits (b, 2): watermark, clean."""
    network: Any = timm.create_model("efficientnet_b3", num_classes=2)
    network.classifier = nn.Sequential(
        nn.Linear(1536, 625), nn.ReLU(), nn.Dropout(0.3), nn.Linear(625, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    return _fill(network, path, dict)


def _fill(network: nn.Module, path: Path, rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> nn.Module:
    """Raises BolidError for a file that holds anything but that network's tensors; nothing else is unpickled."""
    try:
        network.load_state_dict(rename(torch.load(path, map_location="cpu", weights_only=True)))
    except Exception as error:  # what unpickles and what looks for tensors raise anything when fed other things
        reason = (str(error).splitlines() or [""])[0]
        raise BolidError(
            f"{path}: not the tensors of that watermark model ({type(error).__name__}: {reason}); get the file again"
        ) from error
    return network.eval()


class _Normalise(nn.Module):
    """Images in 0..1 as networks trained on ImageNet take them."""

    def forward(self, images: Tensor) -> Tensor:
        mean, std = images.new_tensor([0.485, 0.456, 0.406]), images.new_tensor([0.229, 0.224, 0.225])
        return (images - mean[:, None, None]) / std[:, None, None]


def _convnext_of_pixels(path: Path) -> nn.Module:
    return OfPixels(nn.Sequential(_Normalise(), convnext(path)))


def _efficientnet_of_pixels(path: Path) -> nn.Module:
    return OfPixels(nn.Sequential(_Normalise(), efficientnet(path)))


@dataclass(frozen=True)
class Layout:
    of_pixels: Callable[[Path], nn.Module]
    watermark: int  # which of its two classes is the watermark


LAYOUTS = {
    "convnext-tiny_watermarks_detector.pth": Layout(_convnext_of_pixels, watermark=1),
    "watermark_model_v1.pt": Layout(_efficientnet_of_pixels, watermark=0),
}
"""By the file's name, which is what tells them apart in a folder and on the hub."""

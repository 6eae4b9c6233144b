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
from bolid_data.curate.runtime import Network, PixelInput, describe
from bolid_data.errors import BolidError

SIDE = 256
"""Side in pixels of the square that a photo is squashed to, whatever its shape, as in the training of both."""


class HubWatermarkMeasurer:
    """Records the probability that the photo has a watermark. `name` is a local folder (relative to `relative_to`) or a
    hub repository with one of the files in `LAYOUTS`."""

    def __init__(self, name: str, relative_to: Path, device: str = "cpu") -> None:
        path = weights.file(name, tuple(LAYOUTS), relative_to)
        layout = LAYOUTS[path.name]
        model_weights = weights.Weights(name, path, weights.file_sha256(path), "the model's own")
        self.model = describe_model(model_weights, side=SIDE, file=path.name, runtime=describe(device))
        example = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
        self._watermark = layout.watermark
        self._network = Network(partial(layout.load, path), model_weights, example, tuple(example.shape), device)
        self._network(example)  # a file with other contents fails now, not in the middle of a run

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        outputs = self._network.infer([squash(photo.image) for photo in photos])
        logits = torch.tensor([output.tolist() for (output,) in outputs], dtype=torch.float64).reshape(-1, 2)
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
    # The original is Meta's module; timm maps its parameter names to its own.
    return _fill(network, path, partial(checkpoint_filter_fn, model=network))


def efficientnet(path: Path) -> nn.Module:
    """LAION's network: images (b, 3, h, w), normalised as for ImageNet, to logits (b, 2): watermark, clean."""
    network: Any = timm.create_model("efficientnet_b3", num_classes=2)
    network.classifier = nn.Sequential(
        nn.Linear(1536, 625), nn.ReLU(), nn.Dropout(0.3), nn.Linear(625, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    return _fill(network, path, dict)


def _fill(network: nn.Module, path: Path, rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> nn.Module:
    """Loads the tensors of a file into a network; nothing else is unpickled. Raises BolidError if they do not fit."""
    try:
        network.load_state_dict(rename(torch.load(path, map_location="cpu", weights_only=True)))
    except Exception as error:  # unpickling and loading tensors can raise anything on invalid input
        reason = (str(error).splitlines() or [""])[0]
        raise BolidError(
            f"{path}: not the tensors of that watermark model ({type(error).__name__}: {reason}); get the file again"
        ) from error
    return network.eval()


class _Normalise(nn.Module):
    """Normalises images in 0..1 with the mean and standard deviation of ImageNet."""

    def forward(self, images: Tensor) -> Tensor:
        mean, std = images.new_tensor([0.485, 0.456, 0.406]), images.new_tensor([0.229, 0.224, 0.225])
        return (images - mean[:, None, None]) / std[:, None, None]


def _load_convnext(path: Path) -> nn.Module:
    return PixelInput(nn.Sequential(_Normalise(), convnext(path)))


def _load_efficientnet(path: Path) -> nn.Module:
    return PixelInput(nn.Sequential(_Normalise(), efficientnet(path)))


@dataclass(frozen=True)
class Layout:
    load: Callable[[Path], nn.Module]
    watermark: int  # index of the watermark among the two classes


LAYOUTS = {
    "convnext-tiny_watermarks_detector.pth": Layout(_load_convnext, watermark=1),
    "watermark_model_v1.pt": Layout(_load_efficientnet, watermark=0),
}
"""By file name, which distinguishes them in a folder and on the hub."""

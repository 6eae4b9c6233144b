"""The residual network (He et al. 2016) that the small embedded networks share, and the loading of their weights."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bolid_data import weights

SIDE = 64
"""Side in pixels of the networks' inputs; other images are resized."""

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Backbone(nn.Module):
    """Images (B, 3, H, W) to the features of each stage: `widths` channels, sides H/2, H/4, H/8 …."""

    def __init__(self, widths: Sequence[int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(widths[0]), nn.SiLU()
        )
        before = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(
            _Block(channels, width, stride=1 if stage == 0 else 2)
            for stage, (channels, width) in enumerate(zip(before, widths, strict=True))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.stem(images)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps


class Encoder(nn.Module):
    """Images (B, 3, 64, 64) to vectors (B, size). Not pooled, because limb lengths depend on positions."""

    def __init__(self, size: int, widths: Sequence[int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.backbone = Backbone(widths)
        cells = (SIDE >> len(widths)) ** 2
        self.join = nn.Sequential(nn.Linear(widths[-1] * cells, size, bias=False), nn.BatchNorm1d(size), nn.SiLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.join(self.backbone(images)[-1].flatten(1))


class _Block(nn.Module):
    """Two convolutions with a shortcut: (B, channels, h, w) to (B, width, h / stride, w / stride)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        same_shape = channels == width and stride == 1
        self.around = nn.Identity() if same_shape else nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.silu(self.around(features) + self.layers(features))


def resized(images: Tensor) -> Tensor:
    """Resizes images (B, 3, H, W) to 64×64 pixels; differentiable."""
    if images.shape[2:] == (SIDE, SIDE):
        return images
    return interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)


def load_embedded(network: NetworkT, name: str) -> NetworkT:
    """Loads the embedded weights of that name: frozen, in evaluation mode, in float32. Raises BolidError for weights
    that are missing or altered."""
    network.load_state_dict(load_file(weights.find(name).path))
    return network.to(torch.float32).eval().requires_grad_(False)

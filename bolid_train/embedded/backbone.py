"""The residual network (He et al. 2016) that the small embedded networks share, and the loading of their weights."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bolid_data import weights

FLAT_SIDE, SIDE_3D = 64, 128
"""Sides in pixels of the inputs of the networks of the flat small world, and of the one in three dimensions; other
images are resized."""

_MAP_SIDE = 32  # of the first stage's features
NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Backbone(nn.Module):
    """Images (B, 3, side, side) to the features of each stage: `widths` channels, sides 32, 16, 8 …, whatever the side
    of the images (64 or 128)."""

    def __init__(self, side: int = FLAT_SIDE, widths: Sequence[int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.stem = _stem(side, widths[0])
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
    """Images (B, 3, H, W) to vectors (B, size). Not pooled, because limb lengths depend on positions."""

    def __init__(self, size: int, side: int = FLAT_SIDE, widths: Sequence[int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.side = side
        self.backbone = Backbone(side, widths)
        cells = (2 * _MAP_SIDE >> len(widths)) ** 2
        self.join = nn.Sequential(nn.Linear(widths[-1] * cells, size, bias=False), nn.BatchNorm1d(size), nn.SiLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.join(self.backbone(resized(images, self.side))[-1].flatten(1))


def _stem(side: int, width: int) -> nn.Sequential:
    """Images (B, 3, side, side) to (B, width, 32, 32), by as many convolutions as the side is to be halved."""
    layers: list[nn.Module] = []
    channels, halvings = 3, (side // _MAP_SIDE).bit_length() - 1
    for left in reversed(range(halvings)):
        after, kernel = width >> left, 3 if layers else 5
        convolution = nn.Conv2d(channels, after, kernel, stride=2, padding=kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.SiLU()]
        channels = after
    return nn.Sequential(*layers)


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


def resized(images: Tensor, side: int) -> Tensor:
    """Resizes images (B, 3, H, W) to squares of that side; differentiable."""
    if images.shape[2:] == (side, side):
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True)


def load_embedded(network: NetworkT, name: str) -> NetworkT:
    """Loads the embedded weights of that name: frozen, in evaluation mode, in float32. Raises BolidError for weights
    that are missing or altered."""
    network.load_state_dict(load_file(weights.find(name).path))
    return network.to(torch.float32).eval().requires_grad_(False)

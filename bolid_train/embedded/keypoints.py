"""Differentiable keypoints of small photos: integral regression (Sun et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bolid_train.embedded.backbone import FLAT_SIDE, SIDE_3D, Backbone, resized

KEYPOINTS = 17

WIDTHS = {FLAT_SIDE: (32, 64, 96, 96), SIDE_3D: (32, 64, 128, 160)}
FEATURES = {FLAT_SIDE: 32, SIDE_3D: 64}
"""Channels of the stages, and of all stages merged, by the side of the inputs."""


class KeypointNetwork(nn.Module):
    """Joint positions as the means of heatmaps, which, unlike their peaks, are differentiable."""

    def __init__(self, side: int = FLAT_SIDE) -> None:
        """`side`: pixels of the sides of the network's own inputs, 64 or 128."""
        super().__init__()
        self.side = side
        widths, features = WIDTHS[side], FEATURES[side]
        self.backbone = Backbone(side, widths)
        self.lateral = nn.ModuleList(nn.Conv2d(width, features, 1) for width in widths)
        self.head = nn.Sequential(
            nn.Conv2d(features, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.SiLU(),
            nn.Conv2d(64, 2 * KEYPOINTS, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to keypoints (B, 17, 3): x, y in pixels of the image, confidence in 0..1."""
        heat, visible = self.maps(resized(images, self.side))
        positions = expected_positions(heat) * heat.new_tensor([images.shape[3], images.shape[2]])
        return torch.cat([positions, confidence(heat, visible).sigmoid()[..., None]], dim=2)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, side, side) to log-probabilities of each joint's position (B, 17, 32, 32), and logits of its
        being visible at each position (B, 17, 32, 32)."""
        return self.read(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, side, side) to features (B, FEATURES, 32, 32): all stages, merged from coarse to fine."""
        return self.merge(self.backbone(images))

    def merge(self, stages: Sequence[Tensor]) -> Tensor:
        """The backbone's stages to what `features` gives."""
        joined: Tensor = self.lateral[-1](stages[-1])
        for lateral, feature in zip(reversed(self.lateral[:-1]), reversed(stages[:-1]), strict=True):
            joined = lateral(feature) + interpolate(joined, scale_factor=2.0, mode="nearest")
        return joined

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features to the output of `maps`."""
        heat, visible = self.head(features).float().chunk(2, dim=1)
        return heat.flatten(2).log_softmax(2).view_as(heat), visible


def expected_positions(heat: Tensor) -> Tensor:
    """Log-probabilities (B, 17, h, w) to mean positions (B, 17, 2): x, y as fractions of width and height."""
    height, width = heat.shape[2:]
    probability = heat.exp()
    x = (torch.arange(width, device=heat.device) + 0.5) / width
    y = (torch.arange(height, device=heat.device) + 0.5) / height
    return torch.stack([(probability.sum(2) * x).sum(2), (probability.sum(3) * y).sum(2)], dim=2)


def confidence(heat: Tensor, visible: Tensor) -> Tensor:
    """Logits (B, 17) of being visible, averaged over the joint's estimated position."""
    return (heat.exp() * visible).sum((2, 3))

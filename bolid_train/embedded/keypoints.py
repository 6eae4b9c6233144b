"""Keypoints of small photos as a function that gradients flow through: integral regression (Sun et al. 2018)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bolid_train.embedded.backbone import Backbone, resized

KEYPOINTS = 17

_WIDTHS = (32, 64, 96, 96)
FEATURES = _WIDTHS[0]


class KeypointNetwork(nn.Module):
    """Where each joint is: the mean place of its heatmap, which, unlike the heatmap's peak, has a derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone(_WIDTHS)
        self.lateral = nn.ModuleList(nn.Conv2d(width, FEATURES, 1) for width in _WIDTHS)
        self.head = nn.Sequential(
            nn.Conv2d(FEATURES, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.SiLU(),
            nn.Conv2d(64, 2 * KEYPOINTS, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to keypoints (B, 17, 3): x, y in pixels of the image, confidence in 0..1."""
        heat, visible = self.maps(resized(images))
        places = expected_places(heat) * heat.new_tensor([images.shape[3], images.shape[2]])
        return torch.cat([places, confidence(heat, visible).sigmoid()[..., None]], dim=2)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, 64, 64) to the logarithm of where each joint is (B, 17, 32, 32), and logits of its being
        visible if it is there (B, 17, 32, 32)."""
        return self.read(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, 64, 64) to features (B, 32, 32, 32): all stages, joined from the coarse to the fine."""
        features = self.backbone(images)
        joined = self.lateral[-1](features[-1])
        for lateral, feature in zip(reversed(self.lateral[:-1]), reversed(features[:-1]), strict=True):
            joined = lateral(feature) + interpolate(joined, scale_factor=2.0, mode="nearest")
        return joined

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features to what `maps` gives."""
        heat, visible = self.head(features).float().chunk(2, dim=1)
        return heat.flatten(2).log_softmax(2).view_as(heat), visible


def expected_places(heat: Tensor) -> Tensor:
    """Log-probabilities (B, 17, h, w) to their mean places (B, 17, 2): x, y as shares of width and height."""
    height, width = heat.shape[2:]
    share = heat.exp()
    x = (torch.arange(width, device=heat.device) + 0.5) / width
    y = (torch.arange(height, device=heat.device) + 0.5) / height
    return torch.stack([(share.sum(2) * x).sum(2), (share.sum(3) * y).sum(2)], dim=2)


def confidence(heat: Tensor, visible: Tensor) -> Tensor:
    """Logits (B, 17) of being visible, read where the joint is thought to be."""
    return (heat.exp() * visible).sum((2, 3))

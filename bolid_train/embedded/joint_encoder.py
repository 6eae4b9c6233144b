"""Encodes a small photo by what it shows at the joints of the person on it."""

import torch
from torch import Tensor, nn

from bolid_train.embedded.backbone import SIDE_3D, resized
from bolid_train.embedded.keypoints import FEATURES, KEYPOINTS, WIDTHS, KeypointNetwork, confidence, expected_positions

_SIDE = 4  # of the coarsest features
_SUMMARY = 128


class JointEncoder(nn.Module):
    """Photos to vectors, from where joints are, the features there, and a summary of the whole photo.

    Of few photos, a network that finds the joints first learns sooner what is at the shoulders or at the knees.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pose = KeypointNetwork(SIDE_3D)
        self.summary = nn.Sequential(
            nn.Linear(WIDTHS[SIDE_3D][-1] * _SIDE**2, _SUMMARY, bias=False), nn.BatchNorm1d(_SUMMARY), nn.SiLU()
        )
        self.join = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(KEYPOINTS * (3 + FEATURES[SIDE_3D]) + _SUMMARY, size, bias=False),
            nn.BatchNorm1d(size),
            nn.SiLU(),
            nn.Dropout(0.2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to vectors (B, size)."""
        return self.encode(images)[0]

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (B, size), and what `KeypointNetwork.maps` gives."""
        stages = self.pose.backbone(resized(images, SIDE_3D))
        features = self.pose.merge(stages)
        heat, visible = self.pose.read(features)
        certainty = confidence(heat, visible).sigmoid()[..., None]
        local = torch.einsum("bkhw,bchw->bkc", heat.exp(), features.float()) * certainty
        joints = torch.cat([expected_positions(heat), certainty, local], dim=2).flatten(1)
        return self.join(torch.cat([joints, self.summary(stages[-1].flatten(1)).float()], dim=1)), heat, visible

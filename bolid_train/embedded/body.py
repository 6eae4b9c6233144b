"""The body evaluator: recognises a body regardless of clothes, position and pose.

It is pose-guided, as in Miao et al. 2019 (re-identification by features at the joints), because a network this small
does not learn without that. It shares no weights with the keypoint network that adapters may be trained with.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from bolid_train.embedded.backbone import FLAT_SIDE, SIDE_3D, load_embedded, resized
from bolid_train.embedded.keypoints import FEATURES, KEYPOINTS, KeypointNetwork, confidence, expected_positions

SIZE = 256
_PAIRS = torch.triu_indices(KEYPOINTS, KEYPOINTS, offset=1)
_EPSILON = 1 / 64  # added to distances, in sides of the image, to bound their logarithm


class BodyEvaluator(nn.Module):
    """Photos to unit vectors whose dot product is larger for more similar bodies."""

    def __init__(self, side: int = FLAT_SIDE) -> None:
        """`side`: pixels of the sides of the network's own inputs, 64 or 128."""
        super().__init__()
        self.pose = KeypointNetwork(side)
        input_size = _PAIRS.shape[1] + KEYPOINTS * (1 + FEATURES[side])
        self.describe = nn.Sequential(
            nn.Linear(input_size, SIZE, bias=False),
            nn.BatchNorm1d(SIZE),
            nn.SiLU(),
            nn.Linear(SIZE, SIZE, bias=False),
            nn.BatchNorm1d(SIZE),
            nn.SiLU(),
        )
        self.project = nn.Linear(SIZE, 128)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to embeddings (B, 128) of length one."""
        features = self.pose.features(resized(images, self.pose.side))
        heat, visible = self.pose.read(features)
        return self.project_body(self.describe_body(features, heat, visible))

    embed = forward

    def describe_body(self, features: Tensor, heat: Tensor, visible: Tensor) -> Tensor:
        """Body descriptions (B, SIZE), from the logarithms of all distances between joints (of which proportions are
        differences) and the features at every joint, both weighted by the joints' confidence.

        features, heat, visible: as `KeypointNetwork` gives them.
        """
        positions, certainty = expected_positions(heat), confidence(heat, visible).sigmoid()
        first, second = _PAIRS.to(positions.device)
        distances = ((positions[:, first] - positions[:, second]).square().sum(2) + _EPSILON**2).sqrt().log()
        local = torch.einsum("bkhw,bchw->bkc", heat.exp(), features.float()) * certainty[..., None]
        weighted = distances * certainty[:, first] * certainty[:, second]
        return self.describe(torch.cat([weighted, certainty, local.flatten(1)], dim=1))

    def project_body(self, description: Tensor) -> Tensor:
        """Descriptions (B, SIZE) to embeddings (B, 128) of length one."""
        return normalize(self.project(description).float())


def load_body_evaluator(name: str = "tiny-body") -> BodyEvaluator:
    """The trained evaluator `tiny-body` or `tiny-body-3d`, frozen."""
    return load_embedded(BodyEvaluator(SIDE_3D if name == "tiny-body-3d" else FLAT_SIDE), name)

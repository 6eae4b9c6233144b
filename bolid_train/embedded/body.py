"""The body evaluator: recognises a body, whatever it wears, wherever and however it stands.

Pose-guided, as in Miao et al. 2019 (re-identification by features at the joints): without it, a network this small does
not begin to learn. Its joints are its own: it shares no weights with the keypoint network that adapters may be trained
with.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from bolid_train.embedded.backbone import load_weights, resized
from bolid_train.embedded.keypoints import FEATURES, KEYPOINTS, KeypointNetwork, confidence, expected_places

SIZE = 256
_PAIRS = torch.triu_indices(KEYPOINTS, KEYPOINTS, offset=1)
_NEAR = 1 / 64  # added to distances, in sides of the image, so that their logarithm stays calm


class BodyEvaluator(nn.Module):
    """Photos to unit vectors: the more alike two bodies are, the larger is their vectors' product."""

    def __init__(self) -> None:
        super().__init__()
        self.pose = KeypointNetwork()
        seen = _PAIRS.shape[1] + KEYPOINTS * (1 + FEATURES)
        self.describe = nn.Sequential(
            nn.Linear(seen, SIZE, bias=False),
            nn.BatchNorm1d(SIZE),
            nn.SiLU(),
            nn.Linear(SIZE, SIZE, bias=False),
            nn.BatchNorm1d(SIZE),
            nn.SiLU(),
        )
        self.project = nn.Linear(SIZE, 128)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1 to embeddings (B, 128) of length one."""
        features = self.pose.features(resized(images))
        heat, visible = self.pose.read(features)
        return self.project_body(self.describe_body(features, heat, visible))

    embed = forward

    def describe_body(self, features: Tensor, heat: Tensor, visible: Tensor) -> Tensor:
        """What the pose network gives to a description (B, SIZE), from the logarithms of all distances between joints
        (of which proportions are differences) and the features at every joint, as far as they are visible."""
        places, sure = expected_places(heat), confidence(heat, visible).sigmoid()
        first, second = _PAIRS.to(places.device)
        distances = ((places[:, first] - places[:, second]).square().sum(2) + _NEAR**2).sqrt().log()
        local = torch.einsum("bkhw,bchw->bkc", heat.exp(), features.float()) * sure[..., None]
        return self.describe(torch.cat([distances * sure[:, first] * sure[:, second], sure, local.flatten(1)], dim=1))

    def project_body(self, description: Tensor) -> Tensor:
        """Descriptions (B, SIZE) to embeddings (B, 128) of length one."""
        return normalize(self.project(description).float())


def load_body_evaluator() -> BodyEvaluator:
    """The trained evaluator, frozen."""
    return load_weights(BodyEvaluator(), "tiny-body")

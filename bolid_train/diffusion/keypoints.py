"""Keypoints of the person on a picture, found in a way that gradients of a loss on them may reach the picture."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from bolid_data import weights
from bolid_data.curate.measurers.measurer import MIN_SCORE, PAD_VALUE
from bolid_data.curate.measurers.people import SIDE, STRIDE, import_yolo
from bolid_data.errors import UsageError
from bolid_train.embedded.backbone import load_weights
from bolid_train.embedded.keypoints import KEYPOINTS, KeypointNetwork

DETECTORS = ("tiny-keypoints", "yolo11n-pose")

_AS_CERTAIN = 0.5  # share of the greatest certainty that others on the picture must have


class KeypointDetector(Protocol):
    """Images (B, 3, H, W) in -1..1 to keypoints (B, 17, 3) of one person on each: x, y in pixels of the image,
    confidence in 0..1, in COCO's order. Gradients of all three reach the images."""

    def __call__(self, images: Tensor) -> Tensor: ...


def load_keypoints(name: str, device: str = "cpu") -> KeypointDetector:
    """The detector of that name, frozen: `tiny-keypoints` for the small world, `yolo11n-pose` for photos.

    Raises UsageError for any other name.
    """
    if name == "tiny-keypoints":
        return TinyKeypoints().to(device)
    if name == "yolo11n-pose":
        return YoloKeypoints().to(device)
    raise UsageError(f"keypoint detector '{name}' is not known; there are {', '.join(DETECTORS)}")


class TinyKeypoints(nn.Module):
    """The small world's own network: one person a picture; pictures of other sizes are resized to its 64×64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load_weights(KeypointNetwork(), "tiny-keypoints")

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class YoloKeypoints(nn.Module):
    """YOLO11n-pose as a plain torch module: the most prominent person, by certainty times the area of their box.

    Who that is has no gradient; where their keypoints are has. Confidence is zero where nobody is found.
    """

    def __init__(self) -> None:
        super().__init__()
        path = weights.find("yolo11n-pose").path
        self.network = import_yolo()(str(path), task="pose").model.float().eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        scale = SIDE / max(images.shape[2:])
        size = [max(1, round(side * scale)) for side in images.shape[2:]]
        seen = interpolate((images.float() + 1) / 2, size, mode="bilinear", antialias=True)
        seen = pad(seen, (0, -size[1] % STRIDE, 0, -size[0] % STRIDE), value=PAD_VALUE / 255)
        found = self.network(seen)[0]  # (B, box 4 + score 1 + keypoints 51, anchors)
        score = found[:, 4]
        # A vague guess at something large is no person beside one that is certain.
        certain = score >= (_AS_CERTAIN * score.amax(1, keepdim=True)).clamp_min(MIN_SCORE)
        best = (score * found[:, 2] * found[:, 3] * certain).argmax(1)
        person = found[torch.arange(len(found), device=found.device), :, best]
        places, confidence = person[:, 5:].unflatten(1, (KEYPOINTS, 3)).split((2, 1), dim=2)
        return torch.cat([places / scale, confidence * certain.any(1)[:, None, None]], dim=2)

"""Differentiable keypoint detectors: gradients of a loss on the keypoints reach the image."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from bolid_data import weights
from bolid_data.curate.measurers.measurer import MIN_SCORE, PAD_VALUE
from bolid_data.curate.measurers.people import SIDE, STRIDE, import_yolo
from bolid_data.errors import UsageError
from bolid_train.embedded.backbone import FLAT_SIDE, SIDE_3D, load_embedded
from bolid_train.embedded.keypoints import KEYPOINTS, KeypointNetwork

_TINY = {"tiny-keypoints": FLAT_SIDE, "tiny-keypoints-3d": SIDE_3D}
DETECTORS = (*_TINY, "yolo11n-pose")

_MIN_RELATIVE_SCORE = 0.5  # of the best detection on the image


class KeypointDetector(Protocol):
    """Images (B, 3, H, W) in -1..1 to keypoints (B, 17, 3) of one person each, in COCO's order: x, y in pixels of the
    image, confidence in 0..1, all differentiable."""

    def __call__(self, images: Tensor) -> Tensor: ...


def load_keypoints(name: str, device: str = "cpu") -> KeypointDetector:
    """Loads a frozen detector: `tiny-keypoints` for the flat small world, `tiny-keypoints-3d` for the one in three
    dimensions, `yolo11n-pose` for photos.

    Raises UsageError for any other name.
    """
    if name in _TINY:
        return TinyKeypoints(name).to(device)
    if name == "yolo11n-pose":
        return YoloKeypoints().to(device)
    raise UsageError(f"keypoint detector '{name}' is not known; there are {', '.join(DETECTORS)}")


class TinyKeypoints(nn.Module):
    """A small world's network, for one person per image; images are resized to 64×64 or 128×128 pixels."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = load_embedded(KeypointNetwork(_TINY[name]), name)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class YoloKeypoints(nn.Module):
    """YOLO11n-pose as a plain torch module: the most prominent person, by score times box area.

    The choice of the person is not differentiable; their keypoints are. Confidence is 0 if nobody is detected.
    """

    def __init__(self) -> None:
        super().__init__()
        path = weights.find("yolo11n-pose").path
        self.network = import_yolo()(str(path), task="pose").model.float().eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        scale = SIDE / max(images.shape[2:])
        size = [max(1, round(side * scale)) for side in images.shape[2:]]
        inputs = interpolate((images.float() + 1) / 2, size, mode="bilinear", antialias=True)
        inputs = pad(inputs, (0, -size[1] % STRIDE, 0, -size[0] % STRIDE), value=PAD_VALUE / 255)
        detections = self.network(inputs)[0]  # (B, box 4 + score 1 + keypoints 51, anchors)
        score = detections[:, 4]
        # Without this threshold, a large but uncertain detection would win over a certain person.
        certain = score >= (_MIN_RELATIVE_SCORE * score.amax(1, keepdim=True)).clamp_min(MIN_SCORE)
        best = (score * detections[:, 2] * detections[:, 3] * certain).argmax(1)
        person = detections[torch.arange(len(detections), device=detections.device), :, best]
        positions, confidence = person[:, 5:].unflatten(1, (KEYPOINTS, 3)).split((2, 1), dim=2)
        return torch.cat([positions / scale, confidence * certain.any(1)[:, None, None]], dim=2)

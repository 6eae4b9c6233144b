"""Pose images: keypoints drawn as OpenPose draws them, which ControlNets for poses take (Cao et al. 2017; Zhang et al.
2023). They are drawn on the keypoints' device, so a training step needs no image files."""

import torch
from torch import Tensor

_FROM_COCO = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's number of each of OpenPose's 18 keypoints; -1 is the neck, between the shoulders."""
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_LIMB_BRIGHTNESS = 0.6
_RADIUS = 4 / 512  # of limbs and joints, in sides of the image


def draw_pose(keypoints: Tensor, width: int, height: int, min_confidence: float = 0.3) -> Tensor:
    """Images (B, 3, height, width) in 0..1, black where there is no body.

    Args:
        keypoints: (B, 17, 3): x, y as fractions of the image, confidence; COCO's order. Less confident ones, and limbs
            of which an end is one, are not drawn.
    """
    points = _openpose(keypoints)
    places = points[..., :2] * points.new_tensor([width, height])
    visible = points[..., 2] >= min_confidence
    rows, columns = (torch.arange(side, device=points.device) + 0.5 for side in (height, width))
    pixels = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=-1)  # (H, W, 2): x, y
    colours = points.new_tensor(_COLOURS) / 255
    radius = max(1.0, _RADIUS * max(width, height))
    images = points.new_zeros(len(points), 3, height, width)
    for (first, second), colour in zip(_LIMBS, colours[: len(_LIMBS)], strict=True):
        near = _distance(pixels, places[:, first], places[:, second]) <= radius
        images = _paint(
            images, near & (visible[:, first] & visible[:, second])[:, None, None], _LIMB_BRIGHTNESS * colour
        )
    for number, colour in enumerate(colours):
        near = _distance(pixels, places[:, number], places[:, number]) <= radius
        images = _paint(images, near & visible[:, number, None, None], colour)
    return images


def _openpose(keypoints: Tensor) -> Tensor:
    """COCO's 17 keypoints (B, 17, 3) as OpenPose's 18."""
    shoulders = keypoints[:, (5, 6)]
    confidence = shoulders[..., 2:].amin(dim=1)
    neck = torch.cat([shoulders[..., :2].mean(dim=1), confidence], dim=-1)
    return torch.cat([keypoints, neck[:, None]], dim=1)[:, _FROM_COCO]


def _distance(pixels: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Distances (B, H, W) of pixels (H, W, 2) from the line segments between `start` and `end` (B, 2)."""
    along = (end - start)[:, None, None]
    offset = pixels - start[:, None, None]
    share = (offset * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
    return (offset - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def _paint(images: Tensor, mask: Tensor, colour: Tensor) -> Tensor:
    return torch.where(mask[:, None], colour.view(1, 3, 1, 1), images)

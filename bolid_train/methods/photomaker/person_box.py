"""Where in an image the person is, for the masked loss."""

import torch
from torch import Tensor

from bolid_train.data.weighting import visible

_MARGIN = 0.15
"""Of the longer side of the box: keypoints are inside of the body, below the top of the head and above the soles."""


def person_box(keypoints: Tensor, height: int, width: int, min_confidence: float) -> Tensor:
    """1 in the box around the visible keypoints, with a margin, and 0 elsewhere; 1 everywhere without any.

    Args:
        keypoints: (B, 17, 3): x and y as fractions of the image, confidence. height, width: in latent pixels.
        min_confidence: of a visible keypoint.

    Returns:
        (B, 1, height, width).
    """
    shown = visible(keypoints, 1, 1, min_confidence)[..., None]
    size = keypoints.new_tensor([width, height])
    points = keypoints[..., :2] * size
    first = points.masked_fill(~shown, torch.inf).amin(1)
    last = points.masked_fill(~shown, -torch.inf).amax(1)
    margin = _MARGIN * (last - first).amax(1, keepdim=True)
    first, last = first - margin, last + margin
    centres_x, centres_y = (torch.arange(side, device=keypoints.device) + 0.5 for side in (width, height))
    inside_x = (centres_x >= first[:, :1]) & (centres_x <= last[:, :1])
    inside_y = (centres_y >= first[:, 1:]) & (centres_y <= last[:, 1:])
    box = (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
    return torch.where(box.flatten(1).any(1).view(-1, 1, 1, 1), box, True).to(keypoints.dtype)

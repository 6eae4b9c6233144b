"""Gaussian weighting of an image by its keypoints (method.md, section 1)."""

import torch
from torch import Tensor

from bolid_data.errors import BolidError

BODY_ONLY = slice(5, 17)
"""COCO's 12 body keypoints: all 17 but nose, eyes and ears."""


def visible(keypoints: Tensor, height: int, width: int, min_confidence: float, count: int = 17) -> Tensor:
    """Mask of visible keypoints: confident, inside the image, and among the `count` in use (all 17, or the body's 12).

    Args:
        keypoints: (B, 17, 3): x, y in pixels of the image and confidence.

    Returns: Bool (B, 17).
    """
    x, y, confidence = keypoints.unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    used = torch.zeros(17, dtype=torch.bool, device=keypoints.device)
    used[BODY_ONLY if count == 12 else slice(None)] = True
    return (confidence >= min_confidence) & inside & used


def pose_confidence(points: Tensor, min_confidence: float, count: int = 17) -> Tensor:
    """Mean confidence (B,) of the visible keypoints of photos. `points`: (B, 17, 3), x and y as fractions of the
    photo."""
    mask = visible(points, 1, 1, min_confidence, count)
    return (points[..., 2] * mask).sum(dim=1) / mask.sum(dim=1)


def gaussian_weights(points: Tensor, mask: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """W_norm = W / max(W), where W(x, y) = max_i exp(-((x - x_i)² + (y - y_i)²) / (2σ²)).

    Args:
        points: (B, K, 2): x, y in pixels. mask: bool (B, K), the visible keypoints; others contribute nothing.
        sigma: σ as a fraction of the image's longer side (the authors: 50 px of 1024).

    Returns:
        (B, height, width), its maximum 1 in every image.

    Raises:
        BolidError: an image has no visible keypoint; it must be refused, not weighted with zeros.
    """
    if not bool(mask.any(dim=1).all()):
        raise BolidError("a photo without a visible keypoint cannot be weighted; leave it out")
    rows = torch.arange(height, device=points.device, dtype=points.dtype)
    columns = torch.arange(width, device=points.device, dtype=points.dtype)
    dx = (columns - points[..., 0, None]).square()  # (B, K, W)
    dy = (rows - points[..., 1, None]).square()  # (B, K, H)
    distance = (dy[..., :, None] + dx[..., None, :]).masked_fill(~mask[..., None, None], torch.inf)
    min_distance = distance.amin(dim=1)
    # The Gaussian's maximum is at the smallest distance: subtracting that in the exponent avoids dividing by ~0.
    min_distance = min_distance - min_distance.amin(dim=(1, 2), keepdim=True)
    return torch.exp(-min_distance / (2 * (sigma * max(height, width)) ** 2))


def weight_views(images: Tensor, points: Tensor, mask: Tensor, sigma: float, alpha: float) -> Tensor:
    """I_w = I · (α + (1 - α) · W_norm): dims the background to α and keeps the body.

    Args:
        images: (B, 3, H, W), black is 0. points, mask, sigma: as in `gaussian_weights`. alpha: in [0, 1].

    Returns:
        (B, 3, H, W).
    """
    weights = gaussian_weights(points, mask, images.shape[-2], images.shape[-1], sigma)
    return images * (alpha + (1 - alpha) * weights)[:, None]

"""L_id: how far the body on an image is from the person's, by keypoints, in three forms (method.md, section 4).

All take `keypoints` (B, 17, 3) from a differentiable detector: x, y in pixels of the image, confidence. Joints of
confidence below `MIN_CONFIDENCE` are ignored, and no gradient goes through confidence: hiding a limb must not lower the
loss. Each returns one loss per row (B,), normalised by row, and 0 where nothing can be compared.
"""

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from bolid_train.data.proportions import MIN_CONFIDENCE, proportions
from bolid_train.losses.skeleton import retarget

_SCALE = 100.0
"""Factor of squared distances in sides of the image: a joint that is off by 10 % of the side costs 1."""

_DELTA = 0.02
"""In sides of the image: the typical error of a limb's end with the proportions of another person. With these two
constants, all forms are around 1 for another person of the small world (`absolute` around 4), so that they can start
with the same weight."""


def absolute(keypoints: Tensor, reference: Tensor, size: tuple[int, int]) -> Tensor:
    """The papers' form, times 100: Σ_k v_k ‖p_k^gen - p_k^ref‖² / Σ_k v_k, p relative to the image's size.

    It also rewards the reference photo's pose and position, not only its body.

    Args:
        reference: (B, 17, 3) of the reference photo, x and y as fractions of its width and height. size: width and
            height of the image in pixels.
    """
    weights = _weights(keypoints) * _weights(reference)
    positions = reference[..., :2] * reference.new_tensor(size)
    return _SCALE * _weighted_mean(_squared_distances(keypoints[..., :2] - positions, size, weights), weights)


def of_proportions(keypoints: Tensor, person: Tensor, spread: Tensor) -> Tensor:
    """Scale-free: the mean Huber loss of log proportions, in units of their deviation among photos of one person.

    Args:
        person: (B, 7) log proportions, NaN where unknown. spread: (B, 7), their deviation.
    """
    errors = (proportions(keypoints) - person) / spread
    mask = ~errors.isnan()
    errors = errors.where(mask, 0.0)
    return smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none").sum(1) / mask.sum(1).clamp(min=1)


def retargeted(keypoints: Tensor, person: Tensor, size: tuple[int, int]) -> Tensor:
    """The person's limbs in the image's pose: Σ_k v_k (√(1 + ‖p_k^gen - goal_k‖² / δ²) - 1) / Σ_k v_k with the goals
    of `retarget`, which carry no gradient, and δ = `_DELTA`. A body of the person's proportions costs nothing, whatever
    its pose, position and scale. Pseudo-Huber, not squared, because one badly detected limb would outweigh the others.

    Args:
        person: (B, 7) log proportions, NaN where unknown. size: width and height of the image in pixels.
    """
    weights = _weights(keypoints)
    squares = _squared_distances(keypoints[..., :2] - retarget(keypoints, person), size, weights)
    return _weighted_mean((1 + squares / _DELTA**2).sqrt() - 1, weights)


def _weights(keypoints: Tensor) -> Tensor:
    confidence = keypoints[..., 2].detach()
    return confidence.where(confidence >= MIN_CONFIDENCE, 0.0)


def _squared_distances(difference: Tensor, size: tuple[int, int], weights: Tensor) -> Tensor:
    """Squared distances (B, K) in sides of the image, 0 where the weight is 0."""
    return (difference / difference.new_tensor(size)).where(weights[..., None] > 0, 0.0).square().sum(-1)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Σ_k v_k values_k / Σ_k v_k: (B, K) each to (B,)."""
    return (weights * values).sum(1) / weights.sum(1).clamp(min=MIN_CONFIDENCE**2)

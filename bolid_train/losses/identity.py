"""L_id: how far the body on a picture is from the person's, by keypoints, in three forms (method.md, section 4).

All take what a differentiable detector found, `found` (B, 17, 3): x, y in pixels of the picture, confidence. A joint
of confidence below `SURE` counts nothing, and no gradient goes through confidence: a loss must not be lowered by hiding
a limb. Each row is normalised by itself, and all give a row's loss (B,), 0 where nothing can be compared.
"""

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from bolid_train.data.proportions import SPREAD, SURE, proportions
from bolid_train.losses.skeleton import retarget

_PLACES = 100.0
"""Factor of squared distances in sides of the picture: 1 is then a joint that is off by 10 % of the side."""

_NEAR = 0.02
"""Of the side: how far off a limb's end is by the proportions of another person, as a rule. With these two, all forms
are around 1 for another person of the small world, `absolute` around 4, and the same weight is a sensible start."""


def absolute(found: Tensor, reference: Tensor, size: tuple[int, int]) -> Tensor:
    """The papers' form, times 100: Σ_k v_k ‖p_k^gen - p_k^ref‖² / Σ_k v_k, p relative to the image's size.

    It asks for the reference photo's pose and place as well as for its body.

    Args:
        reference: (B, 17, 3) of the reference photo, x and y as fractions of its width and height. size: width and
            height of the picture in pixels.
    """
    weights = _sure(found) * _sure(reference)
    places = reference[..., :2] * reference.new_tensor(size)
    return _PLACES * _weighted(_apart(found[..., :2] - places, size, weights), weights)


def of_proportions(found: Tensor, person: Tensor) -> Tensor:
    """Scale-free: the mean Huber loss of log proportions, in units of how much each one differs among photos of one
    person (`SPREAD`).

    Args:
        person: (B, 7) log proportions, NaN where they are not known.
    """
    apart = (proportions(found) - person) / found.new_tensor(SPREAD)
    known = ~apart.isnan()
    apart = apart.where(known, 0.0)
    return smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none").sum(1) / known.sum(1).clamp(min=1)


def retargeted(found: Tensor, person: Tensor, size: tuple[int, int]) -> Tensor:
    """The person's limbs laid on the picture's own pose: Σ_k v_k (√(1 + ‖p_k^gen - goal_k‖² / δ²) - 1) / Σ_k v_k with
    the goals of `retarget`, which are taken as given (no gradient), and δ = `_NEAR`. A body of the person's own
    proportions costs nothing, whatever its pose, place and scale. Not squared (pseudo-Huber): one limb that is badly
    seen would outweigh all that is learnt from the others.

    Args:
        person: (B, 7) log proportions, NaN where they are not known. size: width and height of the picture in pixels.
    """
    apart = _apart(found[..., :2] - retarget(found, person), size, _sure(found))
    return _weighted((1 + apart / _NEAR**2).sqrt() - 1, _sure(found))


def _sure(keypoints: Tensor) -> Tensor:
    confidence = keypoints[..., 2].detach()
    return confidence.where(confidence >= SURE, 0.0)


def _apart(difference: Tensor, size: tuple[int, int], weights: Tensor) -> Tensor:
    """Squared distances (B, K) in sides of the picture, 0 where the weight is."""
    return (difference / difference.new_tensor(size)).where(weights[..., None] > 0, 0.0).square().sum(-1)


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Σ_k v_k values_k / Σ_k v_k of (B, K) both: (B,)."""
    return (weights * values).sum(1) / weights.sum(1).clamp(min=SURE**2)

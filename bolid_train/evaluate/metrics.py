"""The metrics, as functions of the evaluators' outputs. N images, P people, G garments, D dimensions.

No metric depends on the size of an image: keypoints are in pixels, and lengths are compared in units of the body.

A failure, an image that shows nobody, scores like an image of another person and is never left out.
"""

import torch
from torch import Tensor

from bolid_train.data.proportions import body_scale, proportions

MIN_CONFIDENCE = 0.5
"""Joints of lower confidence count as not visible."""

_SHOULDERS, _LIMB_JOINTS = [5, 6], [7, 8, 9, 10, 13, 14, 15, 16]  # elbows, wrists, knees, ankles
_TOLERANCE = (0.144, 0.144, 0.124, 0.124, 0.174, 0.174, 0.178, 0.178)
"""2σ of the limb joints, by the agreement of human annotators (COCO's keypoint evaluation)."""


def failures(keypoints: Tensor, min_keypoints: int) -> Tensor:
    """Keypoints (N, 17, 3) → bool (N,): fewer than `min_keypoints` joints are visible, so the image shows nobody."""
    return (keypoints[..., 2] >= MIN_CONFIDENCE).sum(1) < min_keypoints


def reference_cosines(views: Tensor, held_out: Tensor) -> tuple[float, float]:
    """Mean cosine between one photo and the mean of held-out photos, of different people and of the same person.

    views: (P, V, D) embeddings of single photos; held_out: (P, D), the means of other photos of the same people.
    """
    cosines = torch.einsum("pvd,qd->pvq", _unit(views), _unit(held_out)).mean(1)
    same = torch.eye(len(cosines), dtype=torch.bool)
    return float(cosines[~same].mean()), float(cosines[same].mean())


def body_sim(images: Tensor, held_out: Tensor, failed: Tensor, different: float, same: float) -> Tensor:
    """(N,): 0 for an image as similar to the person as a photo of someone else, 1 as similar as another photo of the
    person; 0 for a failure.

    images, held_out: embeddings (N, D) of the images, and means over their person's held-out photos; different,
    same: from `reference_cosines`.
    """
    cosine = (_unit(images) * _unit(held_out)).sum(1)
    return ((cosine - different) / (same - different)).where(~failed, 0.0)


def error_between_people(people: Tensor) -> float:
    """Mean difference between different people's log proportions (P, 7), in percent."""
    error = 100 * (people[:, None] - people).abs().nanmean(2)
    return float(error[~torch.eye(len(people), dtype=torch.bool)].nanmean())


def limb_error(keypoints: Tensor, people: Tensor, failed: Tensor, between_people: float) -> Tensor:
    """(N,): mean absolute difference between log proportions of an image and of its person, in percent;
    `between_people` for a failure, and where no proportion can be measured.

    keypoints: (N, 17, 3) of the images; people: (N, 7), `mean_proportions` of their people.
    """
    error = 100 * (proportions(keypoints) - people).abs().nanmean(1)
    return error.where(~failed & ~error.isnan(), between_people)


def pose_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Keypoints (N, 17, 3) twice → (N,) in 0..1: 1 for the same pose; NaN where they share no visible limb joint.

    COCO's object keypoint similarity, the mean of exp(-d² / 2k²), over elbows, wrists, knees and ankles, with the
    figures aligned at the middle of the shoulders and in units of `body_scale`. Keypoints are in pixels, never in
    fractions of width and height, so the figures may be on images of different sizes and shapes. Joints of the trunk
    are left out, because they hardly depend on the pose.
    """
    distance = (_limb_positions(first) - _limb_positions(second)).norm(dim=-1)
    return torch.exp(-((distance / first.new_tensor(_TOLERANCE)) ** 2) / 2).nanmean(1)


def pose_copy(images: Tensor, baseline: Tensor, reference: Tensor, failed: Tensor) -> Tensor:
    """(N,): 0 for a pose as similar to the reference's as that of the base's image of the same prompt and noise, 1 on
    average for the reference's pose.

    A failure, or limbs that cannot be compared, count as the base's mean; NaN where the reference shows no pose.
    images, baseline, reference: (N,), `pose_similarity` of each to the reference.
    """
    baseline_mean = baseline.nanmean()
    images = images.where(~failed & ~images.isnan(), baseline_mean)
    copied = (images - baseline.where(~baseline.isnan(), baseline_mean)) / (1 - baseline_mean)
    return copied.where(~reference.isnan(), torch.nan)


def reference_colour_share(images: Tensor, reference: Tensor, prompted: Tensor) -> Tensor:
    """(N,): the share of garments in the reference's colour, among those for which the prompt asks for another colour;
    NaN where there are none.

    Each (N, G): class numbers of colours in the image, in the reference, and in the photo that the prompt describes;
    negative where a garment is not visible.
    """
    counted = (reference >= 0) & (prompted >= 0) & (reference != prompted)
    copied = (images == reference).float().where(counted, torch.nan)
    return copied.nanmean(1)


def clothes_leak(images: Tensor, baseline: Tensor) -> Tensor:
    """(N,): 0 if the reference's colours are as frequent as on the base's images, 1 on average if they are always
    there.

    images, baseline: (N,), `reference_colour_share` of both.
    """
    return (images - baseline) / (1 - baseline.nanmean())


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Embeddings (N, D) twice → (N,): CLIP-T for images and prompts, CLIP-I for images with and without the person
    (method.md, section 7)."""
    return (_unit(first) * _unit(second)).sum(-1)


def _unit(embeddings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embeddings, dim=-1)


def _limb_positions(keypoints: Tensor) -> Tensor:
    """Aligned positions of the limb joints (N, 8, 2), NaN where not visible."""
    positions = keypoints[..., :2].where(keypoints[..., 2:] >= MIN_CONFIDENCE, torch.nan)
    origin = positions[:, _SHOULDERS].mean(1, keepdim=True)
    return (positions[:, _LIMB_JOINTS] - origin) / body_scale(keypoints)[:, None, None]

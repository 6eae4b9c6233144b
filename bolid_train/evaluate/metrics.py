"""The numbers of the table, as functions of what evaluators saw. N pictures, P people, G garments, D dimensions.

Of a failure, a picture that shows nobody, it is said what would be said of a stranger: never nothing.
"""

import torch
from torch import Tensor

from bolid_train.data.proportions import body_scale, proportions

SURE = 0.5
"""A joint of less confidence is not seen."""

_SHOULDERS, _LIMBS = [5, 6], [7, 8, 9, 10, 13, 14, 15, 16]  # limbs: elbows, wrists, knees, ankles
_TOLERANCE = (0.144, 0.144, 0.124, 0.124, 0.174, 0.174, 0.178, 0.178)
"""2σ of the limbs' joints: how exactly people agree on where each is (COCO's keypoint evaluation)."""


def failures(keypoints: Tensor, least: int) -> Tensor:
    """Keypoints (N, 17, 3) → bool (N,): fewer than `least` joints are seen, so nobody is taken to be there."""
    return (keypoints[..., 2] >= SURE).sum(1) < least


def likeness_of_people(views: Tensor, others: Tensor) -> tuple[float, float]:
    """Mean cosine between one photo and the mean of other photos, if they are of different people, and if of one.

    views: (P, V, D) single photos' embeddings; others: (P, D), the means of other photos of the same people.
    """
    cosines = torch.einsum("pvd,qd->pvq", _unit(views), _unit(others)).mean(1)
    same = torch.eye(len(cosines), dtype=torch.bool)
    return float(cosines[~same].mean()), float(cosines[same].mean())


def body_sim(pictures: Tensor, others: Tensor, failed: Tensor, different: float, same: float) -> Tensor:
    """(N,): 0 where a picture is as like the person as a photo of someone else, 1 as another photo of the person;
    0 for a failure.

    pictures, others: (N, D), of the pictures and means of the person's photos; different, same: as
    `likeness_of_people` gives them.
    """
    cosine = (_unit(pictures) * _unit(others)).sum(1)
    return ((cosine - different) / (same - different)).where(~failed, 0.0)


def error_of_strangers(people: Tensor) -> float:
    """Mean difference between different people's log proportions (P, 7), in percent."""
    error = 100 * (people[:, None] - people).abs().nanmean(2)
    return float(error[~torch.eye(len(people), dtype=torch.bool)].nanmean())


def limb_error(keypoints: Tensor, people: Tensor, failed: Tensor, strangers: float) -> Tensor:
    """(N,): mean absolute difference between log proportions of a picture and of its person, in percent; `strangers`
    for a failure, and where no proportion can be measured.

    keypoints: (N, 17, 3) of the pictures; people: (N, 7), `mean_proportions` of their people.
    """
    error = 100 * (proportions(keypoints) - people).abs().nanmean(1)
    return error.where(~failed & ~error.isnan(), strangers)


def pose_likeness(first: Tensor, second: Tensor) -> Tensor:
    """Keypoints (N, 17, 3) twice → (N,) in 0..1: 1 for the same pose; NaN where they have no limb's joint in common.

    COCO's object keypoint similarity, exp(-d² / 2k²) on average, of elbows, wrists, knees and ankles, the figures laid
    on each other by the middle of the shoulders and in units of `body_scale`. Trunks always lie alike, so their joints
    would say that all poses are.
    """
    distance = (_placed(first) - _placed(second)).norm(dim=-1)
    return torch.exp(-((distance / first.new_tensor(_TOLERANCE)) ** 2) / 2).nanmean(1)


def pose_copy(pictures: Tensor, bare: Tensor, reference: Tensor, failed: Tensor) -> Tensor:
    """(N,): 0 where a picture is as like the reference's pose as the base's picture of that prompt and noise is,
    1 on average where its pose is the reference's.

    A failure, or limbs that cannot be compared, count as the base's mean; NaN where the reference shows no pose.
    pictures, bare, reference: (N,), `pose_likeness` of each to the reference.
    """
    usual = bare.nanmean()
    pictures = pictures.where(~failed & ~pictures.isnan(), usual)
    copied = (pictures - bare.where(~bare.isnan(), usual)) / (1 - usual)
    return copied.where(~reference.isnan(), torch.nan)


def colours_worn(found: Tensor, reference: Tensor, asked: Tensor) -> Tensor:
    """(N,): the share of garments in the reference's colour, among those of which the prompt asks another; NaN where
    there is none.

    Each (N, G): class numbers of colours in the picture, in the reference, and in the photo that the prompt describes;
    negative where a garment is not seen.
    """
    counted = (reference >= 0) & (asked >= 0) & (reference != asked)
    worn = (found == reference).float().where(counted, torch.nan)
    return worn.nanmean(1)


def clothes_leak(pictures: Tensor, bare: Tensor) -> Tensor:
    """(N,): 0 where the reference's colours are worn as often as on the base's pictures, 1 on average where always.

    pictures, bare: (N,), `colours_worn` by both.
    """
    return (pictures - bare) / (1 - bare.nanmean())


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Embeddings (N, D) twice → (N,). Of pictures and prompts it is CLIP-T; of pictures before and after the person was
    put in, CLIP-I (method.md, section 7)."""
    return (_unit(first) * _unit(second)).sum(-1)


def _unit(embeddings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embeddings, dim=-1)


def _placed(keypoints: Tensor) -> Tensor:
    """Limbs' joints (N, 8, 2), NaN where not seen."""
    places = keypoints[..., :2].where(keypoints[..., 2:] >= SURE, torch.nan)
    return (places[:, _LIMBS] - places[:, _SHOULDERS].mean(1, keepdim=True)) / body_scale(keypoints)[:, None, None]

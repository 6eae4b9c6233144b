"""Pose retargeting: a skeleton with the limb lengths of another person, along the kinematic tree."""

import torch
from torch import Tensor

from bolid_train.data.proportions import PROPORTIONS, proportions

_BONES: tuple[tuple[int | str, int, str], ...] = (
    *((0, joint, "face") for joint in (1, 2, 3, 4)),
    *(("chest", joint, "shoulders") for joint in (5, 6)),
    *(("pelvis", joint, "hips") for joint in (11, 12)),
    *((joint, joint + 2, "upper arm") for joint in (5, 6)),
    *((joint, joint + 2, "forearm") for joint in (7, 8)),
    *((joint, joint + 2, "thigh") for joint in (11, 12)),
    *((joint, joint + 2, "shin") for joint in (13, 14)),
)
"""Parent, joint, and the proportion that gives the bone's length; parents come first. The trunk from pelvis to chest
to nose is the unit of length and does not change."""

_MAX_LOG_SCALE = 0.5
"""A bone's length changes by at most e^±0.5: a larger change means a bad detection, or a view from the side."""


@torch.no_grad()
def retarget(keypoints: Tensor, person: Tensor) -> Tensor:
    """The joints' positions for a person in this pose.

    Every bone keeps its direction and foreshortening on the image; its length is multiplied by exp(person's -
    measured) of its log proportion. The middle of the hips and the middle of the shoulders do not move.

    Args:
        keypoints: (B, 17, 3) in COCO's order, x and y in pixels. person: (B, 7) log proportions.

    Returns:
        (B, 17, 2) in pixels. A bone keeps its length where either proportion is unknown (NaN).
    """
    scales = (person - proportions(keypoints)).nan_to_num(0.0).clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE).exp()
    joints: dict[int | str, Tensor] = {joint: keypoints[:, joint, :2] for joint in range(keypoints.shape[1])}
    joints |= {"chest": (joints[5] + joints[6]) / 2, "pelvis": (joints[11] + joints[12]) / 2}
    goal: dict[int | str, Tensor] = dict(joints)
    for parent, joint, name in _BONES:
        scale = scales[:, PROPORTIONS.index(name), None]
        goal[joint] = goal[parent] + scale * (joints[joint] - joints[parent])
    return torch.stack([goal[joint] for joint in range(keypoints.shape[1])], dim=1)

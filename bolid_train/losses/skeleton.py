"""A skeleton with the limbs of another person: pose retargeting along the kinematic tree."""

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
"""Parent, joint, and the proportion that says how long the bone is; parents stand before what hangs on them. The trunk
from pelvis to chest to nose is the unit of all lengths and stays."""

_MOST = 0.5
"""A bone's length changes by e^±0.5 at most: what asks for more was not seen well, or seen from the side."""


@torch.no_grad()
def retarget(keypoints: Tensor, person: Tensor) -> Tensor:
    """Where the joints would be if this pose were the person's.

    Every bone keeps its direction and its foreshortening on the picture; its length is multiplied by
    exp(person's - measured) of its log proportion. The middles of the hips and of the shoulders stay where they are.

    Args:
        keypoints: (B, 17, 3) in COCO's order, x and y in pixels. person: (B, 7) log proportions.

    Returns:
        (B, 17, 2) in pixels. A bone of which either length is not known (NaN) keeps its own.
    """
    change = (person - proportions(keypoints)).nan_to_num(0.0).clamp(-_MOST, _MOST).exp()
    found: dict[int | str, Tensor] = {joint: keypoints[:, joint, :2] for joint in range(keypoints.shape[1])}
    found |= {"chest": (found[5] + found[6]) / 2, "pelvis": (found[11] + found[12]) / 2}
    goal: dict[int | str, Tensor] = dict(found)
    for parent, joint, name in _BONES:
        length = change[:, PROPORTIONS.index(name), None]
        goal[joint] = goal[parent] + length * (found[joint] - found[parent])
    return torch.stack([goal[joint] for joint in range(keypoints.shape[1])], dim=1)

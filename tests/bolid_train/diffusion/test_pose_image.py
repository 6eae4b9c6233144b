"""Pose images are OpenPose's, as ControlNets know them."""

import torch

from bolid_train.diffusion.pose_image import draw_pose
from tests.support.drawn_shards import FIGURE


def _figure() -> torch.Tensor:
    points = torch.tensor(FIGURE, dtype=torch.float32)
    return torch.cat([points, torch.ones(17, 1)], dim=1)[None]


def _colour(image: torch.Tensor, x: float, y: float) -> list[int]:
    column, row = int(x * image.shape[2]), int(y * image.shape[1])
    return (image[:, row, column] * 255).round().int().tolist()


def test_joints_and_limbs_have_openposes_colours() -> None:
    [image] = draw_pose(_figure(), 240, 320)
    assert image.shape == (3, 320, 240)
    nose, left_wrist, right_ankle = FIGURE[0], FIGURE[9], FIGURE[16]
    assert _colour(image, *nose) == [255, 0, 0]
    assert _colour(image, *left_wrist) == [0, 255, 85]
    assert _colour(image, *right_ankle) == [0, 170, 255]
    thigh = (FIGURE[12] + FIGURE[14]) / 2
    assert _colour(image, *thigh) == [0, 153, 51], "0.6 of the limb's colour"
    neck = (FIGURE[5] + FIGURE[6]) / 2
    assert _colour(image, *neck) == [255, 85, 0], "which COCO does not have"
    assert _colour(image, 0.02, 0.02) == [0, 0, 0]


def test_what_is_not_seen_is_not_drawn_and_rows_are_of_their_own() -> None:
    figure = _figure()
    hidden = figure.clone()
    hidden[0, 16, 2] = 0.1  # the right ankle
    both = draw_pose(torch.cat([figure, hidden]), 240, 320)
    assert torch.equal(both[:1], draw_pose(figure, 240, 320))
    assert _colour(both[1], *FIGURE[16]) == [0, 0, 0]
    shin = (FIGURE[14] + FIGURE[16]) / 2
    assert _colour(both[1], *shin) == [0, 0, 0] != _colour(both[0], *shin)
    assert not draw_pose(torch.zeros(1, 17, 3), 64, 64).any()

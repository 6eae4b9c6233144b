"""People of sticks, made by hand: a body's lengths and a pose are chosen one without the other."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Body:
    """Lengths in units of the trunk, from the middle of the hips to that of the shoulders."""

    neck: float = 0.3
    face: float = 0.08
    shoulders: float = 0.35  # half the width
    hips: float = 0.2  # half the width
    upper_arm: float = 0.45
    forearm: float = 0.4
    thigh: float = 0.7
    shin: float = 0.65


@dataclass(frozen=True)
class Pose:
    """Directions of limbs in radians, 0 is down, of left and right; where the body is and how large."""

    upper_arms: tuple[float, float] = (0.3, -0.2)
    forearms: tuple[float, float] = (0.5, 0.1)
    thighs: tuple[float, float] = (0.1, -0.15)
    shins: tuple[float, float] = (0.05, -0.1)
    lean: float = 0.0  # of the trunk
    at: tuple[float, float] = (100.0, 90.0)  # the middle of the hips, in pixels
    trunk: float = 50.0  # pixels


STANDING = Pose()
DANCING = Pose((2.0, -1.2), (2.6, -2.0), (0.9, -0.4), (0.2, 0.5), lean=0.3)
ELSEWHERE = replace(STANDING, at=(60.0, 120.0), trunk=30.0)


def figure(body: Body = Body(), pose: Pose = STANDING) -> Tensor:
    """Keypoints (1, 17, 3) in COCO's order, all of confidence 1."""
    up, side = _along(math.pi + pose.lean), _along(math.pi / 2 + pose.lean)
    pelvis = torch.tensor(pose.at) / pose.trunk
    chest = pelvis + up
    nose = chest + body.neck * up
    eyes = nose + body.face * up
    joints = {0: nose, 1: eyes + 0.03 * side, 2: eyes - 0.03 * side, 3: eyes + 0.1 * side, 4: eyes - 0.1 * side}
    for left, sign in ((0, 1.0), (1, -1.0)):
        shoulder, hip = chest + sign * body.shoulders * side, pelvis + sign * body.hips * side
        elbow = shoulder + body.upper_arm * _along(pose.upper_arms[left])
        knee = hip + body.thigh * _along(pose.thighs[left])
        joints |= {5 + left: shoulder, 7 + left: elbow, 9 + left: elbow + body.forearm * _along(pose.forearms[left])}
        joints |= {11 + left: hip, 13 + left: knee, 15 + left: knee + body.shin * _along(pose.shins[left])}
    places = torch.stack([joints[joint] for joint in range(17)]) * pose.trunk
    return torch.cat([places, torch.ones(17, 1)], dim=1)[None]


def hidden(keypoints: Tensor, *joints: int) -> Tensor:
    """The same with these joints not visible, and placed where nothing is."""
    keypoints = keypoints.clone()
    keypoints[:, list(joints)] = torch.tensor([0.0, 0.0, 0.1])
    return keypoints


def _along(angle: float) -> Tensor:
    return torch.tensor([math.sin(angle), math.cos(angle)])

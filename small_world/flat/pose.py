"""The positions of a person's joints: a pose seen by a camera."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from small_world.flat.people import Build

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
# (upper arm, forearm) as (degrees away from straight down, outwards; degrees forwards)
_ARMS = {
    "down": ((10, 0), (6, 12)),
    "raised": ((124, 5), (172, 8)),
    "on hips": ((44, -12), (-52, 14)),
    "folded": ((12, 12), (-72, 30)),
    "spread": ((66, 0), (74, 8)),
    "waving": ((70, 5), (158, 15)),
}
ARMS = tuple(_ARMS)
_LEGS = {"standing": (4, 0, 2, 0), "wide": (11, 0, 9, 0), "walking": (4, 20, 3, -6)}
LEGS = tuple(_LEGS)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; `arms` names the pose that the arms' angles vary around."""

    arms: str
    angles: tuple[tuple[float, float], ...]  # (outwards, forwards) of upper arm, forearm, thigh, shin; left then right
    yaw: float  # of the body; positive shows more of the person's right side
    head_yaw: float  # in addition to the body's
    head_roll: float
    sway: float  # hips to the side, as a fraction of the stature


@dataclass(frozen=True)
class Camera:
    """The position of the crown in the picture, pixels per stature, and the picture's tilt in radians."""

    x: float
    y: float
    scale: float
    tilt: float


def draw_pose(rng: np.random.Generator, arms: str) -> Pose:
    """A random pose with the named arms (one of `ARMS`), mostly facing the camera."""
    legs = _LEGS[str(rng.choice(LEGS))]
    stride = int(rng.choice([-1, 1]))
    waving = int(rng.integers(2))
    angles: list[tuple[float, float]] = []
    for side in range(2):
        side_arms = "down" if arms == "waving" and side != waving else arms
        upper, lower = _ARMS[side_arms]
        out, forward, shin_out, shin_forward = legs
        step = stride if side == 0 else -stride
        base = [upper, lower, (out, forward * step), (shin_out, forward * step * 0.4 + shin_forward)]
        angles += [(a + float(rng.normal(0, 4)), f + float(rng.normal(0, 3))) for a, f in base]
    return Pose(
        arms=arms,
        angles=tuple(angles),
        yaw=float(np.clip(rng.normal(0, 11), -24, 24)),
        head_yaw=float(np.clip(rng.normal(0, 8), -15, 15)),
        head_roll=float(rng.normal(0, 4)),
        sway=float(rng.normal(0, 0.008)),
    )


@dataclass(frozen=True)
class Figure:
    """A posed person in the picture: the joints in pixels, and how to place points of the head."""

    joints: dict[str, NDArray[np.float64]]
    camera: Camera
    pose: Pose
    head_centre: NDArray[np.float64]
    head_height: float

    def face(self, x: float, y: float, z: float = 0.0) -> NDArray[np.float64]:
        """A point of the head (in head heights from its centre: x to the person's left, y down, z out) in pixels."""
        yaw = np.radians(self.pose.yaw + self.pose.head_yaw)
        across = x * np.cos(yaw) + z * np.sin(yaw)
        roll = self.head_angle
        turned = (across * np.cos(roll) - y * np.sin(roll), across * np.sin(roll) + y * np.cos(roll))
        return self.head_centre + self.head_height * np.array(turned)

    @property
    def head_angle(self) -> float:
        """The head's rotation in the picture plane, in radians."""
        return self.camera.tilt + float(np.radians(self.pose.head_roll))


def place(build: Build, pose: Pose, camera: Camera) -> Figure:
    """Joints of a posed person in pixels: x right, y down; the person's left is the picture's right."""
    joints = {name: _project(point, pose, camera) for name, point in _skeleton(build, pose).items()}
    centre = _project(np.array([0.0, build.head / 2, 0.012]), pose, camera)
    figure = Figure(joints, camera, pose, centre, build.head * camera.scale)
    half = build.head_width / 2
    landmarks = {
        "nose": (0, 0.13, half * 1.25), "left_eye": (half * 0.46, -0.01, half * 0.85),
        "right_eye": (-half * 0.46, -0.01, half * 0.85), "left_ear": (half * 1.02, 0.05, -0.04),
        "right_ear": (-half * 1.02, 0.05, -0.04),
    }  # fmt: skip
    return replace(figure, joints=joints | {name: figure.face(*point) for name, point in landmarks.items()})


def _skeleton(build: Build, pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Joints in statures, in the body's frame: x to the person's left, y down from the crown, z forwards."""
    joints = {"neck": np.array([0.0, build.head * 1.0 + 0.018, 0.0])}
    ankle = 0.95
    shoulder_y = build.head + 0.050
    lengths = (build.upper_arm, build.forearm, build.knee_height - build.hip_height, ankle - build.knee_height)
    for index, (side, sign) in enumerate((("left", 1), ("right", -1))):
        upper, lower, thigh, shin = (
            _direction(out, forward, sign) * length
            for (out, forward), length in zip(pose.angles[4 * index : 4 * index + 4], lengths, strict=True)
        )
        lift = 0.02 * max(0.0, pose.angles[4 * index][0] - 60) / 90  # a raised arm lifts its shoulder
        shoulder = np.array([sign * build.shoulders * (1 - lift * 4), shoulder_y - lift, 0.0])
        hip = np.array([sign * build.hips + pose.sway, build.hip_height, 0.0])
        joints |= {
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": shoulder + upper,
            f"{side}_wrist": shoulder + upper + lower,
            f"{side}_hand": shoulder + upper + lower * 1.42,
            f"{side}_hip": hip,
            f"{side}_knee": hip + thigh,
            f"{side}_ankle": hip + thigh + shin,
            f"{side}_toe": hip + thigh + shin + np.array([sign * 0.022, 0.034, 0.07]),
        }
    return joints


def _direction(out: float, forward: float, sign: int) -> NDArray[np.float64]:
    a, f = np.radians(out), np.radians(forward)
    return np.array([sign * np.sin(a) * np.cos(f), np.cos(a) * np.cos(f), np.sin(f)])


def _project(point: NDArray[np.float64], pose: Pose, camera: Camera) -> NDArray[np.float64]:
    yaw = np.radians(pose.yaw)
    x, y = point[0] * np.cos(yaw) + point[2] * np.sin(yaw), point[1]
    cos, sin = np.cos(camera.tilt), np.sin(camera.tilt)
    return np.array([camera.x, camera.y]) + camera.scale * np.array([x * cos - y * sin, x * sin + y * cos])

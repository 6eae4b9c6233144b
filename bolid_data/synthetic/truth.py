"""What is known of a photo: joints, parts, turn, framing, measures, captions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.camera import Camera
from bolid_data.synthetic.caption import Description, describe
from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.figure import Figure
from bolid_data.synthetic.pieces import FURNITURE

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_NEAR = 0.012  # of a joint's distance: how far behind what is seen there a visible joint may lie
_HEAD_JOINTS = 5


@dataclass(frozen=True)
class PersonTruth:
    """One person on a photo."""

    keypoints: Floats  # (17, 3) x, y in pixels of the photo, and 1 if visible, else 0; COCO's order
    joints: Floats  # (17, 3) metres, in the camera's axes: right, down, forward
    yaw: float  # degrees: 0 faces the camera, 90 the picture's right
    box: tuple[float, float, float, float] | None  # x0, y0, x1, y1 of what is visible
    measures: dict[str, float]
    sex: str
    years: float
    description: Description


@dataclass(frozen=True)
class Truth:
    """A photo's truth; the main person is the first."""

    people: tuple[PersonTruth, ...]
    framing: str
    place: str
    parts: NDArray[np.uint8]  # (H, W) index into `fields.PARTS`
    surfaces: NDArray[np.uint8]  # (H, W) index into `pieces.SURFACES`
    owners: NDArray[np.uint8]  # (H, W) 0 nobody, 1 the first person …

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) the pixels of the main person, without what they sit on."""
        return (self.owners == 1) & (self.surfaces != FURNITURE)


def tell(
    figures: Sequence[Figure], place: str, framing: str, camera: Camera, parts: NDArray[np.uint8],
    surfaces: NDArray[np.uint8], owners: NDArray[np.uint8],
) -> Truth:  # fmt: skip
    """The truth of a rendered photo."""
    people = []
    for index, figure in enumerate(figures):
        projected = camera.project(figure.joints)
        visible = _visible(projected, camera, parts, owners == index + 1)
        yaw = _yaw(figure)
        mine = (owners == index + 1) & (surfaces != FURNITURE)
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)) if len(rows) else None
        people.append(
            PersonTruth(
                np.concatenate([projected[:, :2], visible[:, None]], 1).round(2).astype(np.float32),
                ((figure.joints - camera.place) @ camera.axes.T).astype(np.float32),
                yaw, box, asdict(figure.person.measures), figure.person.sex, figure.person.years,
                describe(figure, framing, place, yaw),
            )
        )  # fmt: skip
    return Truth(tuple(people), framing, place, parts, surfaces, owners)


def _yaw(figure: Figure) -> float:
    """The turn of the trunk, by its shoulders and hips."""
    across = figure.joints[[5, 11]].mean(0) - figure.joints[[6, 12]].mean(0)
    return float(np.degrees(np.arctan2(across[1], across[0])))


_LIMB = {
    5: ("chest", "neck", "left upper arm"), 6: ("chest", "neck", "right upper arm"),
    7: ("left upper arm", "left forearm"), 8: ("right upper arm", "right forearm"),
    9: ("left forearm", "left hand"), 10: ("right forearm", "right hand"),
    11: ("hips", "left thigh"), 12: ("hips", "right thigh"), 13: ("left thigh", "left shin"),
    14: ("right thigh", "right shin"), 15: ("left shin", "left foot"), 16: ("right shin", "right foot"),
}  # fmt: skip


def _visible(projected: Floats, camera: Camera, parts: NDArray[np.uint8], mine: NDArray[np.bool_]) -> Floats:
    """(17,) 1 for joints inside the picture at which the own body part is what the camera sees."""
    visible = np.zeros(17, np.float32)
    reach = max(1, round(0.006 * max(parts.shape)))
    for joint, (x, y, _) in enumerate(projected):
        if not (0 <= x < camera.width and 0 <= y < camera.height):
            continue
        here = (slice(max(int(y) - reach, 0), int(y) + reach + 1), slice(max(int(x) - reach, 0), int(x) + reach + 1))
        names = {PARTS[part] for part in np.unique(parts[here][mine[here]])}
        visible[joint] = bool(names & set(_LIMB.get(joint, ("head",))))
    # Of the head, what is on its far side is hidden.
    middle = projected[[3, 4], 2].mean()
    half = abs(projected[3, 2] - projected[4, 2]) / 2
    for joint in range(_HEAD_JOINTS):
        behind = projected[joint, 2] - middle
        hidden_face = projected[0, 2] > middle or (joint > 0 and behind > 0.01)
        hidden_ear = behind > 0.045 and half > 0.045
        if hidden_face if joint < 3 else hidden_ear:
            visible[joint] = 0
    return visible

"""People as joints and an outline, without a picture, at a quarter of a photo's cost: the readers of `views.py` are
trained on them."""

import cv2
import numpy as np

from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.looks import Look
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.photo import FRAMING_SHARES, Shot, draw_camera, draw_figures
from bolid_data.synthetic.pieces import SURFACES

_CORNERS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)
_WITHIN = _CORNERS / _CORNERS.sum(1, keepdims=True)  # a triangle's corners, middles of edges, and middle
_GAP = np.ones((3, 3), np.uint8)
_DONORS = 5  # photos nearest by turn, of which one lends its errors


def sketch(
    person: Person, seed: tuple[int, ...], size: tuple[int, int], yaw: float, look: Look
) -> dict[str, np.ndarray]:
    """Joints (17, 3), the third 1 inside the picture, the outline (H, W), yaw and framing of a random shot."""
    rng = np.random.default_rng(seed)
    framing, shot = str(rng.choice(FRAMINGS, p=FRAMING_SHARES)), Shot(yaw=yaw, look=look)
    figures = draw_figures(rng, [person], shot, framing)
    camera = draw_camera(rng, figures, framing, size, shot)
    mesh = figures[0].mesh
    seen = camera.project(mesh.vertices)[:, :2].astype(np.float32)
    own = mesh.faces[mesh.surfaces != SURFACES.index("furniture")]
    points = np.einsum("pc,fcx->pfx", _WITHIN, seen[own]).reshape(-1, 2).astype(int)
    x, y = points[((points >= 0) & (points < size)).all(1)].T
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[y, x] = 1
    joints = camera.project(figures[0].joints)[:, :2]
    inside = ((joints >= 0) & (joints < size)).all(1)
    return {
        "true": np.column_stack([joints, inside]).astype(np.float32),
        "mask": cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _GAP) > 0,
        "yaw": np.float32(yaw),
        "framing": np.array(framing),
    }


def detected(sketches: dict[str, np.ndarray], photos: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(N, 17, 3) joints of sketches with the errors and scores of a pose model on photos of a like turn and framing."""
    tall = {name: one["mask"].any(2).sum(1) for name, one in (("sketches", sketches), ("photos", photos))}
    joints = sketches["true"].copy()
    for number, (yaw, framing) in enumerate(zip(sketches["yaw"], sketches["framing"], strict=True)):
        same = np.flatnonzero(photos["framing"] == framing)
        apart = np.abs((photos["yaw"][same] - yaw + 180) % 360 - 180)
        donor = rng.choice(same[np.argsort(apart)[:_DONORS]])
        error = photos["detected"][donor, :, :2] - photos["true"][donor, :, :2]
        joints[number, :, :2] += error * tall["sketches"][number] / tall["photos"][donor]
        joints[number, :, 2] = photos["detected"][donor, :, 2]
    height, width = sketches["mask"].shape[1:]
    joints[:, :, :2] = joints[:, :, :2].clip(0, (width, height))
    return joints

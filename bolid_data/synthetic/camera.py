"""A pinhole camera on the -y side of the person, framed around them."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.turns import about, unit

FRAMINGS = ("full", "knees_up", "waist_up", "bust")
_NEAREST = 1.3  # metres
_MARGINS = {"full": (0.04, 0.09), "knees_up": (0.04, 0.09), "waist_up": (0.05, 0.11), "bust": (0.06, 0.13)}


@dataclass(frozen=True)
class Camera:
    """Where it is and how it projects; pixels of a picture of `width` × `height`."""

    place: Floats  # (3,)
    axes: Floats  # (3, 3) rows: right, down, forward
    focal: float  # pixels
    width: int
    height: int
    shift: tuple[float, float]  # of the principal point from the middle, pixels

    def project(self, points: Floats) -> Floats:
        """(N, 3) x, y in pixels, and depth in metres, of points (N, 3)."""
        seen = (points - self.place) @ self.axes.T
        depth = np.maximum(seen[:, 2:], 1e-3)
        centre = np.array([self.width / 2 + self.shift[0], self.height / 2 + self.shift[1]])
        return np.concatenate([seen[:, :2] / depth * self.focal + centre, seen[:, 2:]], 1)

    def rays(self, x: Floats, y: Floats) -> Floats:
        """(N, 3) unit directions through pixels (N,), (N,); a pixel's middle is at .5."""
        across = (x - self.width / 2 - self.shift[0]) / self.focal
        down = (y - self.height / 2 - self.shift[1]) / self.focal
        ray = across[:, None] * self.axes[0] + down[:, None] * self.axes[1] + self.axes[2]
        return (ray / np.sqrt(1 + across**2 + down**2)[:, None]).astype(np.float32)


def frame_people(
    rng: np.random.Generator, points: Floats, low: float, whole: bool, size: tuple[int, int], framing: str,
    millimetres: float | None = None, pitch: float | None = None,
) -> Camera:  # fmt: skip
    """A camera that shows `points` (N, 3) from the height `low` up; `whole`: they must also fit the picture's width.

    Pitch is in degrees, positive for a camera above that looks down; focal lengths are those of 35 mm film.
    """
    width, height = size
    millimetres = millimetres or float(np.exp(rng.uniform(np.log(32), np.log(85))))
    focal = millimetres / 36 * max(width, height)
    pitch = float(np.clip(rng.normal(2, 5), -9, 16)) if pitch is None else pitch
    top, bottom = (float(rng.uniform(*_MARGINS[framing])) for _ in range(2))
    if not whole:
        bottom = 0.0
    shown = points[points[:, 2] >= low - 1e-3]
    middle = np.array([np.median(shown[:, 0]), np.median(shown[:, 1]), (low + shown[:, 2].max()) / 2])
    roll = about("y", float(rng.normal(0, 1.2)))
    forward = about("x", -pitch) @ np.array([0, 1.0, 0])
    right = np.array([1.0, 0, 0])
    down = np.cross(forward, right)
    axes = np.stack([right, down, forward]) @ roll.T
    distance = (shown[:, 2].max() - low) * focal / (height * (1 - top - bottom))
    if distance < _NEAREST:  # nobody is photographed from so near: a longer lens
        focal *= _NEAREST / distance
    side = 0.07 if whole else -0.02
    camera = Camera(middle, axes, focal, width, height, (0.0, 0.0))
    for _ in range(4):
        place = middle - forward * distance
        camera = Camera(place, axes, focal, width, height, (0.0, 0.0))
        seen = camera.project(shown)
        floor = camera.project(np.array([[middle[0], middle[1], low]]))[0, 1]
        span = (max(floor, seen[:, 1].max()) if whole else floor) - seen[:, 1].min()
        ratio = span / (height * (1 - top - bottom))
        if whole:
            ratio = max(ratio, (seen[:, 0].max() - seen[:, 0].min()) / (width * (1 - side)))
        distance = max(distance * ratio, 0.6)
    seen = camera.project(shown)
    left, right_edge = seen[:, 0].min(), seen[:, 0].max()
    slack = max(width * 0.96 - (right_edge - left), 0) / 2
    across = width / 2 - (left + right_edge) / 2 + float(rng.uniform(-1, 1)) * min(slack, 0.09 * width)
    return Camera(
        camera.place.astype(np.float32),
        unit_rows(axes),
        focal,
        width,
        height,
        (across, height * top - seen[:, 1].min()),
    )


def unit_rows(axes: Floats) -> Floats:
    return np.stack([unit(axis) for axis in axes]).astype(np.float32)

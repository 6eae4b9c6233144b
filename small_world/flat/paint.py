"""A canvas that paints shaded solids: every part is lit as if it were round, and casts a shadow on the figure beneath.

Detectors trained on photographs do not detect flat drawings, but they do detect lit ones.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating]
Point = NDArray[np.float64]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Where the light comes from (unit vector: x right, y down, z towards the camera) and how hard it is."""

    direction: tuple[float, float, float]
    ambient: float

    def shade(self, nx: Pixels, ny: Pixels, nz: Pixels) -> Pixels:
        """Brightness (about 0.4 to 1.15) of a surface with these normals (Lambert, plus an ambient part)."""
        x, y, z = self.direction
        diffuse = np.maximum(nx * np.float32(x) + ny * np.float32(y) + nz * np.float32(z), 0)
        return np.float32(self.ambient) + np.float32(1.2 - self.ambient) * diffuse


@dataclass
class Canvas:
    """Pixels (height, width, 3) in 0..1 with the figure painted on them; sizes and positions are in pixels."""

    pixels: Pixels
    light: Light
    rng: np.random.Generator
    covered: Pixels = field(init=False)  # (height, width) how far the figure hides the background
    _folds: Pixels = field(init=False)
    _strands: Pixels = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[:2]
        self.covered = np.zeros((height, width), np.float32)
        self._folds = noise(self.rng, (height, width), (height // 34, width // 26))
        self._strands = noise(self.rng, (height, width), (height // 60, width // 3))

    def limb(
        self, a: Point, b: Point, ra: float, rb: float, colour: Colour, cloth: bool = False, joined: bool = False
    ) -> None:
        """A tapered capsule from `a` (radius `ra`) to `b` (radius `rb`), lit as a tube: its ends show no seam.

        `joined`: it continues the part beneath it and casts no shadow on it.
        """
        box = self._box(np.array([a, b]), max(ra, rb) * 1.5 + 2)
        if box is None:
            return
        y, x = _grid(box)
        x0, y0, dx, dy = (float(value) for value in (*a, *(b - a)))
        squared = max(dx * dx + dy * dy, 1e-6)
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / squared, 0, 1)
        radius = ra + along * (rb - ra)
        distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy) / radius
        if not joined:
            self._shadow(box, np.clip((1.45 - distance) / 0.45, 0, 1))
        aside = ((x - x0) * -dy + (y - y0) * dx) / (squared * radius)
        alpha = np.clip((1 - distance) * radius + 0.5, 0, 1)
        self._lay(box, alpha, aside * -dy, aside * dx, colour, self._folds if cloth else None)

    def ball(self, centre: Point, rx: float, ry: float, colour: Colour, angle: float = 0.0) -> None:
        """An ellipsoid with half-axes `rx`, `ry`, turned by `angle` radians."""
        box = self._box(centre[None], max(rx, ry) * 1.4 + 2)
        if box is None:
            return
        off_x, off_y, cos, sin = _ellipse(box, centre, rx, ry, angle)
        distance = np.hypot(off_x, off_y)
        self._shadow(box, np.clip((1.4 - distance) / 0.4, 0, 1))
        nx, ny = off_x * cos - off_y * sin, off_x * sin + off_y * cos
        self._lay(box, np.clip((1 - distance) * min(rx, ry) + 0.5, 0, 1), nx, ny, colour, None)

    def shape(self, points: Point, depth: float, colour: Colour, texture: str = "") -> None:
        """A closed outline roughly through `points` (n, 2), rounded towards its edges over `depth` pixels.

        `texture` is "cloth", "hair" or "".
        """
        box = self._box(points, depth * 0.6 + 3)
        if box is None:
            return
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        corners = np.round((smooth(points) - box[:2]) * 16).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)
        self._shadow(box, cv2.blur(mask, (int(depth) * 2 // 3 | 1,) * 2).astype(np.float32) / np.float32(255))
        inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
        inside = cv2.blur(np.minimum(inside, depth), (int(depth) // 4 * 2 + 1,) * 2)
        steep = 1 - np.clip(inside / depth, 0, 1)
        nx = -cv2.Sobel(inside, cv2.CV_32F, 1, 0, scale=0.125) * steep
        ny = -cv2.Sobel(inside, cv2.CV_32F, 0, 1, scale=0.125) * steep
        fibres = {"cloth": self._folds, "hair": self._strands, "": None}[texture]
        self._lay(box, mask.astype(np.float32) / np.float32(255), nx, ny, colour, fibres)

    def spot(self, centre: Point, rx: float, ry: float, colour: Colour, opacity: float, angle: float = 0.0,
             edge: float = 1.0) -> None:  # fmt: skip
        """A flat ellipse of colour; with `edge` 1 it fades from the centre, near 0 it has a crisp rim."""
        box = self._box(centre[None], max(rx, ry) + 2)
        if box is None:
            return
        off_x, off_y, _, _ = _ellipse(box, centre, rx, ry, angle)
        edge = max(edge, 1 / max(min(rx, ry), 1))
        alpha = np.clip((1 - np.hypot(off_x, off_y)) / np.float32(edge), 0, 1) * np.float32(opacity)
        self._blend(box, alpha, np.array(colour, np.float32))

    def line(self, points: Point, width: float, colour: Colour, opacity: float = 1.0) -> None:
        """A flat stroke through `points` (n, 2)."""
        box = self._box(points, width + 2)
        if box is None:
            return
        mask = np.zeros(((box[3] - box[1]) * 2, (box[2] - box[0]) * 2), np.uint8)
        knots = np.round((points - box[:2]) * 32).astype(np.int32)
        cv2.polylines(mask, [knots], False, 255, max(1, round(width * 2)), cv2.LINE_AA, 4)
        alpha = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        self._blend(box, alpha * np.float32(opacity), np.array(colour, np.float32))

    def _box(self, points: Point, reach: float) -> tuple[int, int, int, int] | None:
        """The part of the canvas within `reach` of the points, as left, top, right, bottom; None if it is empty."""
        height, width = self.covered.shape
        left, top = np.maximum(np.floor(points.min(0) - reach), 0).astype(int)
        right, bottom = np.minimum(np.ceil(points.max(0) + reach), (width, height)).astype(int)
        return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None

    def _shadow(self, box: tuple[int, int, int, int], dark: Pixels) -> None:
        left, top, right, bottom = box
        here = self.covered[top:bottom, left:right] * dark
        self.pixels[top:bottom, left:right] *= (1 - np.float32(0.26) * here)[..., None]

    def _lay(self, box: tuple[int, int, int, int], alpha: Pixels, nx: Pixels, ny: Pixels, colour: Colour,
             texture: Pixels | None) -> None:  # fmt: skip
        left, top, right, bottom = box
        flat = np.minimum(nx * nx + ny * ny, 0.98)
        shade = self.light.shade(nx, ny, np.sqrt(1 - flat)) * (1 - np.float32(0.22) * flat * flat)
        if texture is not None:
            shade *= 1 + np.float32(0.11) * texture[top:bottom, left:right]
        paint = shade[..., None] * np.array(colour, np.float32)
        self._blend(box, alpha, paint)
        part = self.covered[top:bottom, left:right]
        np.maximum(part, alpha, out=part)

    def _blend(self, box: tuple[int, int, int, int], alpha: Pixels, paint: Pixels) -> None:
        left, top, right, bottom = box
        part = self.pixels[top:bottom, left:right]
        part += alpha[..., None] * (paint - part)


def rgb(red: float, green: float, blue: float) -> Pixels:
    """A colour in 0..1 as an array (3,)."""
    return np.array((red, green, blue), np.float32)


def smooth(points: Point) -> Point:
    """A closed outline (n, 2) with its corners cut twice, (4 n, 2) (Chaikin, 1974)."""
    for _ in range(2):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1).reshape(-1, 2)
    return points


def noise(rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> Pixels:
    """Smooth noise (height, width) of about -1..1, interpolated from `cells` random values."""
    rough = rng.uniform(-1, 1, (max(2, cells[0]), max(2, cells[1]))).astype(np.float32)
    return np.asarray(cv2.resize(rough, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _grid(box: tuple[int, int, int, int]) -> tuple[Pixels, Pixels]:
    left, top, right, bottom = box
    rows, columns = np.arange(top, bottom, dtype=np.float32), np.arange(left, right, dtype=np.float32)
    return rows[:, None], columns[None]


def _ellipse(
    box: tuple[int, int, int, int], centre: Point, rx: float, ry: float, angle: float
) -> tuple[Pixels, Pixels, np.float32, np.float32]:
    """Offsets from the centre along the ellipse's axes, in half-axes, and the cosine and sine of its angle."""
    y, x = _grid(box)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    return (dx * cos + dy * sin) / np.float32(rx), (dy * cos - dx * sin) / np.float32(ry), cos, sin

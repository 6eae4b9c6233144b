"""Hair as geometry: a shell over the scalp, and lofted shapes for what hangs from it. Beards are thin shells."""

from functools import lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.fields import HAIR_CENTRE, fields
from bolid_data.synthetic.mesh import Cut, cut, smooth
from bolid_data.synthetic.noise import waves
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pieces import Bound, Piece, bind, grid_faces, layer, outwards, part, smoothed

_THICKNESS = {  # metres at the sides and on top, and how uneven
    "crop": (0.004, 0.010, 0.05), "short": (0.010, 0.030, 0.2), "curly": (0.024, 0.036, 0.45),
    "bob": (0.016, 0.022, 0.08),
    "long": (0.013, 0.020, 0.06), "ponytail": (0.010, 0.017, 0.08),
    "bun": (0.010, 0.017, 0.08), "afro": (0.058, 0.068, 0.22),
}  # fmt: skip
COVERS_EARS = frozenset({"bob", "long", "afro"})
_TOP = 0.93  # where hanging hair comes out of the shell
_BOB_END, _LONG_END = (0.70, 0.735), (0.42, 0.60)


@lru_cache(maxsize=32)
def hair(person: Person, under_hat: bool = False) -> tuple[Piece, ...]:
    """The pieces of a person's hair and beard at rest; a hat presses hair flat and hides what stands on top."""
    pieces = []
    cut_name = person.haircut
    if cut_name != "bald":
        side, top, uneven = _THICKNESS[cut_name]
        if under_hat:
            side, top, uneven = min(side, 0.012), 0.004, 0.0
        offset = _shell(cut_name, person.seed, side, top, uneven)
        pieces.append(_shell_piece(person, offset, 0.85 if cut_name in ("curly", "afro") else 0.35))
    rng = np.random.default_rng((*person.seed, 5))
    if cut_name in ("bob", "long"):
        end = rng.uniform(*(_BOB_END if cut_name == "bob" else _LONG_END))
        pieces.append(_bound(person, *_curtain(cut_name, round(float(end), 2), side)))
    elif cut_name == "ponytail":
        pieces.append(_bound(person, *_tail(round(float(rng.uniform(0.55, 0.68)), 2))))
    elif cut_name == "bun" and not under_hat:
        pieces.append(_bound(person, *_bun(person.sex == "man")))
    if person.beard == "full":
        pieces.append(layer(person, _beard(), np.clip(-_beard_field() * 0.5, 0.0008, 0.009), 1, "beard", "hair"))
    return tuple(pieces)


def hair_mask(person: Person) -> np.ndarray:
    """(F,) bool: faces of the body that hair covers completely."""
    if person.haircut in ("bald", "crop"):
        return np.zeros(len(body_model().faces), bool)
    return np.all((fields().hairline < -0.02)[body_model().faces], axis=1)


@lru_cache(maxsize=2)
def _scalp() -> Cut:
    body = body_model()
    faces = np.flatnonzero(fields().render & (body.face_parts == 0))
    uneven = 0.004 * waves(body.template, 90.0, seed=3)
    piece = cut(body.faces[faces], (fields().hairline + uneven).astype(np.float32))
    return Cut(piece.start, piece.end, piece.share, piece.faces, faces[piece.origin])


def _shell_piece(person: Person, offset: Floats, radial: float) -> Piece:
    """The shell; thick hair stands off the middle of the head rather than off every bump."""
    body, scalp = body_model(), _scalp()
    base, normals = smoothed(person, 3)
    out = base - _on_head(person, HAIR_CENTRE)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    directions = smooth(normals * (1 - radial) + out * radial, body.neighbours, 4)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-6)
    outer = base + directions * smooth(offset, body.neighbours, 1)[:, None]
    parts = np.full(len(scalp.faces), 1)
    return Piece(scalp.of(outer), scalp.of(body.skin), scalp.faces, scalp.of(body.template), "hair", "hair", parts)


def _on_head(person: Person, point: Floats) -> Floats:
    """A point of the mean adult's head on a person's, by the bones of the head and the eyes."""
    mean, body = body_model()["heads"], body_model()
    head = body.bone["head"]
    return person.rest.heads[head] + (point - mean[head]) * person.measures.head / 0.237


def _shell(cut_name: str, seed: tuple[int, ...], side: float, top: float, uneven: float) -> Floats:
    """(V,) metres of hair above the scalp."""
    template = body_model().template
    high = np.clip((template[:, 2] - 0.845) / 0.07, 0, 1)
    thickness = side + (top - side) * high
    if cut_name == "afro":  # round, however the head is shaped
        thickness = np.clip(0.158 - np.linalg.norm(template - HAIR_CENTRE, axis=1), 0.015, 0.085)
    depth = np.clip(-fields().hairline / {"afro": 0.06, "curly": 0.035}.get(cut_name, 0.025), 0, 1)
    lumps = 1 + uneven * waves(template, 70.0 if cut_name != "short" else 45.0, seed=sum(seed))
    if cut_name == "short":  # combed to one side
        lumps = lumps + 0.35 * np.clip(template[:, 0] * 14, -1, 1) * high
    return (0.0015 + (thickness * lumps) * np.sqrt(depth)).astype(np.float32)


def beard_line(points: Floats) -> Floats:
    """(N,) negative where a beard grows, on chin, jaw and upper lip, of points (N, 3) on the mean adult."""
    x, y, z = points.T
    angle = np.degrees(np.arctan2(np.abs(x), -(y - HAIR_CENTRE[1])))
    upper = np.interp(angle, (0, 14, 22, 40, 62, 80), (0.776, 0.774, 0.764, 0.762, 0.79, 0.806))
    lips = 0.0085 - np.hypot(np.maximum(np.abs(x) - 0.018, 0) * 0.8, (z - 0.759) * 1.0)
    lower = 0.697 + np.clip(angle - 20, 0, 60) * 0.0011
    return np.maximum.reduce([z - upper, lower - z, lips, (angle - 84) * 0.001]).astype(np.float32)


def _beard_field() -> Floats:
    field = beard_line(body_model().template)
    return np.where(fields().head > 0.5, field, 1.0).astype(np.float32)


@lru_cache(maxsize=2)
def _beard() -> Cut:
    body = body_model()
    faces = np.flatnonzero(fields().render & (body.face_parts == 0))
    piece = cut(body.faces[faces], _beard_field() + 0.0012 * waves(body.template, 300.0, seed=9).astype(np.float32))
    return Cut(piece.start, piece.end, piece.share, piece.faces, faces[piece.origin])


def _bound(person: Person, bound: Bound, texture: Floats, faces: np.ndarray) -> Piece:
    return Piece(bound.rest(person), bound.skin(), faces, texture, "hair", "hair", part("head", len(faces)))


@lru_cache(maxsize=64)
def _curtain(cut_name: str, end: float, side: float) -> tuple[Bound, Floats, np.ndarray]:
    """Hair that hangs around the back of the head, over neck and back if long."""
    template = body_model().template
    rows = np.linspace(_TOP, end, 26 if cut_name == "long" else 16)
    columns = np.linspace(-1, 1, 41)
    back = template[(np.abs(template[:, 0]) < 0.2) & (template[:, 1] > -0.03) & (template[:, 2] < 0.8)]
    points: list[Floats] = []
    lengths = 0.008 * np.sin(columns * 17) + 0.004 * np.sin(columns * 41 + 1) - 0.02 * np.abs(columns) ** 3
    for height in rows:
        front = np.interp(height, (0.60, 0.68, 0.735, 0.80, 0.86, _TOP), (128, 122, 84, 66, 66, 80))
        angles = np.radians(180 - (180 - front) * np.abs(columns)) * np.where(columns < 0, -1, 1)
        wide = np.interp(
            height,
            (0.42, 0.62, 0.68, 0.74, 0.80, 0.87, 0.90, 0.93),
            (0.098, 0.10, 0.099, 0.097, 0.094, 0.082, 0.068, 0.050),
        )
        deep = np.interp(height, (0.68, 0.76, 0.82, 0.87, 0.90, 0.93), (0.088, 0.098, 0.113, 0.110, 0.096, 0.070))
        strands = 1 + 0.02 * np.sin(columns * 31 + height * 14) + 0.012 * np.sin(columns * 67)
        ends = 1 - 0.10 * np.clip((end + 0.05 - height) / 0.05, 0, 1) * (cut_name == "bob")
        x = np.sin(angles) * (wide + side * 0.35) * strands * ends
        y = -0.03 - np.cos(angles) * (deep + side * 0.4) * strands * ends
        if height < 0.76:
            near = back[np.abs(back[:, 2] - height) < 0.02]
            for index in range(len(x)):
                column = near[np.abs(near[:, 0] - x[index]) < 0.03]
                if len(column):
                    y[index] = max(y[index], column[:, 1].max() + 0.03)
        if points and height < 0.66:  # straight down from the shoulder blades, over what is worn
            y = np.maximum(y, points[-1][:, 1] - 0.0015)
        low = np.clip((_TOP - height) / (_TOP - end), 0, 1)
        points.append(np.stack([x, y, height - lengths * low**2], 1))
    outer = np.concatenate(points)
    near_body = (fields().head > 0.3) | ((template[:, 1] > 0.0) & (template[:, 2] > 0.35) & (fields().arm < 0.2))
    faces = grid_faces(len(rows), len(columns), closed=False)
    return bind(outer, near_body), outer.astype(np.float32), outwards(outer, faces)


@lru_cache(maxsize=64)
def _tail(end: float) -> tuple[Bound, Floats, np.ndarray]:
    """A tail from the back of the head."""
    steps = np.linspace(0, 1, 16)
    path = np.stack([np.zeros(16), 0.068 + 0.075 * np.sin(steps * np.pi * 0.62), 0.875 + (end - 0.875) * steps**1.3], 1)
    radius = np.interp(steps, (0, 0.1, 0.35, 0.8, 1), (0.014, 0.019, 0.027, 0.018, 0.003))
    points = _tube(path, radius)
    head = fields().head > 0.6
    return bind(points, head), points.astype(np.float32), outwards(points, grid_faces(16, 14, closed=True))


@lru_cache(maxsize=2)
def _bun(high: bool) -> tuple[Bound, Floats, np.ndarray]:
    """A knot at the back, or on top."""
    centre = np.array([0.0, 0.055, 0.955]) if high else np.array([0.0, 0.092, 0.885])
    steps = np.linspace(0, np.pi, 12)
    size = 0.030 if high else 0.036
    path = centre + np.stack([np.zeros(12), np.zeros(12), size * np.cos(steps)], 1)
    points = _tube(path, np.sin(steps) * size * 1.1 + 0.0005)
    points += (0.002 * waves(points.astype(np.float32), 160.0, seed=4))[:, None]
    return (
        bind(points, fields().head > 0.9),
        points.astype(np.float32),
        outwards(points, grid_faces(12, 14, closed=True)),
    )


def _tube(path: Floats, radius: Floats) -> Floats:
    """(len(path) · 14, 3) rings around a path in the middle plane."""
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.array([1.0, 0, 0])
    other = np.cross(along, across)
    rings = path[:, None] + radius[:, None, None] * (
        np.cos(angles)[None, :, None] * across + np.sin(angles)[None, :, None] * other[:, None]
    )
    return rings.reshape(-1, 3)

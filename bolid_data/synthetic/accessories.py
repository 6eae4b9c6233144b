"""Glasses, hats, bags and what a person sits on, as pieces at rest."""

from functools import lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.fields import HAIR_CENTRE, fields
from bolid_data.synthetic.looks import Look
from bolid_data.synthetic.mesh import Cut, cut
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pieces import Bound, Piece, bind, grid_faces, layer, outwards, part

_EYE = np.array([0.0305, -0.150, 0.8305])


def accessories(person: Person, look: Look) -> list[Piece]:
    """What a person wears besides clothes."""
    pieces = []
    if person.glasses:
        pieces.append(_head_piece(person, *_glasses(sum(person.seed) % 3), "glasses"))
    if look.hat == "beanie":
        pieces.append(layer(person, _crown(0.872), 0.014, 4, "hat", "accessory"))
    elif look.hat == "cap":
        pieces.append(layer(person, _crown(0.893), 0.014, 4, "hat", "accessory"))
        pieces.append(_head_piece(person, *_brim(), "hat"))
    if look.bag == "backpack":
        pieces += [_strap(person, 0), _body_piece(person, *_box((0.0, 0.175, 0.36), (0.145, 0.06, 0.2)), "bag")]
    elif look.bag == "shoulder bag":
        pieces += [_strap(person, 1), _body_piece(person, *_box((0.20, 0.03, 0.06), (0.035, 0.12, 0.10)), "bag")]
    return pieces


def _head_piece(person: Person, bound: Bound, texture: Floats, faces: np.ndarray, material: str) -> Piece:
    skin = np.zeros((len(texture), len(body_model().parents)), np.float32)
    skin[:, body_model().bone["head"]] = 1
    return Piece(bound.rest(person), skin, faces, texture, material, "accessory", part("head", len(faces)))


def _body_piece(person: Person, bound: Bound, texture: Floats, faces: np.ndarray, material: str) -> Piece:
    return Piece(bound.rest(person), bound.skin(), faces, texture, material, "accessory", part("thing", len(faces)))


@lru_cache(maxsize=4)
def _crown(height: float) -> Cut:
    """The top of the head above a line, lower at the back."""
    body = body_model()
    faces = np.flatnonzero(fields().render & (body.face_parts == 0))
    offset = body.template - HAIR_CENTRE
    line = height - 0.32 * np.clip(offset[:, 1] + 0.1, 0, 0.25)
    piece = cut(body.faces[faces], np.where(fields().head > 0.5, line - body.template[:, 2], 1.0).astype(np.float32))
    return Cut(piece.start, piece.end, piece.share, piece.faces, faces[piece.origin])


@lru_cache(maxsize=2)
def _brim() -> tuple[Bound, Floats, np.ndarray]:
    angles = np.radians(np.linspace(-62, 62, 15))
    rows = []
    for out in (0.0, 0.035, 0.068):
        reach = 0.108 + out * np.cos(angles * 1.3) ** 0.5
        rows.append(np.stack([np.sin(angles) * (0.086 + out * 0.2), -0.035 - np.cos(angles) * reach,
                              0.898 - 0.25 * out + 0.012 * (np.cos(angles) - 1)], 1))  # fmt: skip
    points = np.concatenate(rows)
    points = np.concatenate([points, points - [0, 0, 0.004]])
    faces = grid_faces(3, 15, closed=False)
    return bind(points, fields().head > 0.9), points.astype(np.float32), np.concatenate([faces, faces[:, ::-1] + 45])


@lru_cache(maxsize=4)
def _glasses(shape: int) -> tuple[Bound, Floats, np.ndarray]:
    """Two rims, a bridge and temples, of thin tubes."""
    power = (2.0, 3.5, 2.6)[shape]
    wide, high = ((0.0225, 0.0205), (0.0255, 0.0175), (0.0265, 0.021))[shape]
    paths = []
    angles = np.linspace(0, 2 * np.pi, 29)
    for sign in (1, -1):
        c, s = np.cos(angles), np.sin(angles)
        x = np.sign(c) * np.abs(c) ** (2 / power) * wide
        z = np.sign(s) * np.abs(s) ** (2 / power) * high
        paths.append(
            np.stack(
                [sign * (_EYE[0] + 0.001) + x, _EYE[1] - 0.012 + 6.0 * (sign * _EYE[0] + x) ** 2, _EYE[2] - 0.003 + z],
                1,
            )
        )
        hinge = np.array(
            [sign * (_EYE[0] + wide + 0.001), _EYE[1] - 0.012 + 6.0 * (_EYE[0] + wide) ** 2, _EYE[2] + 0.005]
        )
        paths.append(np.linspace(hinge, [sign * 0.0745, -0.058, 0.836], 6))
    paths.append(
        np.stack(
            [
                np.linspace(-0.011, 0.011, 5),
                np.full(5, _EYE[1] - 0.0125),
                _EYE[2] + 0.003 + 0.002 * np.cos(np.linspace(-1.5, 1.5, 5)),
            ],
            1,
        )
    )
    points, faces, count = [], [], 0
    for path in paths:
        tube = _thin_tube(path, 0.0013)
        points.append(tube)
        faces.append(outwards(tube, grid_faces(len(path), 5, closed=True)) + count)
        count += len(tube)
    whole = np.concatenate(points)
    return bind(whole, fields().head > 0.9), whole.astype(np.float32), np.concatenate(faces)


def _thin_tube(path: Floats, radius: float) -> Floats:
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.cross(along, [0.1, 0.9, 0.3])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(along, across)
    angles = np.linspace(0, 2 * np.pi, 5, endpoint=False)
    return (
        path[:, None] + radius * (np.cos(angles)[:, None] * across[:, None] + np.sin(angles)[:, None] * other[:, None])
    ).reshape(-1, 3)


@lru_cache(maxsize=4)
def _box(centre: tuple[float, float, float], half: tuple[float, float, float]) -> tuple[Bound, Floats, np.ndarray]:
    """A box with rounded edges on the trunk."""
    polar, around = np.linspace(0, np.pi, 12), np.linspace(0, 2 * np.pi, 24, endpoint=False)
    unit = np.stack([np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around)),
                     np.outer(np.cos(polar), np.ones(24))], -1).reshape(-1, 3)  # fmt: skip
    rounded = np.sign(unit) * np.abs(unit) ** 0.38
    points = np.array(centre) + rounded * np.array(half)
    trunk = (fields().arm < 0.1) & (body_model().template[:, 2] > 0.05) & (body_model().template[:, 2] < 0.62)
    return bind(points, trunk), points.astype(np.float32), outwards(points, grid_faces(12, 24, closed=True))


@lru_cache(maxsize=2)
def _strap_cut(kind: int) -> Cut:
    body, field = body_model(), fields()
    x, _, z = body.template.T
    if kind == 0:  # two, over the shoulders to the armpits
        band = np.maximum(np.abs(np.abs(x) - 0.105 - np.clip(0.58 - z, 0, 1) * 0.28) - 0.018, 0.40 - z)
    else:  # one, from the right shoulder to the left hip
        line = (x + 0.085) * 0.83 - (0.62 - z) * 0.42
        band = np.maximum.reduce([np.abs(line) - 0.014, 0.10 - z])
    faces = np.flatnonzero(field.render & (body.face_parts == 0))
    piece = cut(body.faces[faces], np.where((field.arm < 0.45) & (z < 0.70), band, 1.0).astype(np.float32))
    return Cut(piece.start, piece.end, piece.share, piece.faces, faces[piece.origin])


def _strap(person: Person, kind: int) -> Piece:
    z = body_model().template[:, 2]
    return layer(person, _strap_cut(kind), 0.024 + 0.014 * np.clip((0.45 - z) / 0.35, 0, 1), 8, "bag", "accessory")

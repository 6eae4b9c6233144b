"""How tops hang: from the body's level sections without hollows, and straight down from what stands out."""

from functools import lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, body_model
from bolid_data.synthetic.fields import fields
from bolid_data.synthetic.mesh import smooth, vertex_normals
from bolid_data.synthetic.people import Person

_ANGLES, _LEVELS = 72, 44
_LOW, _HIGH = 0.0, 0.62  # heights of the mean adult between which cloth hangs
_FLARES = (0.3, 0.6, 1.0)
"""Metres by which cloth may come nearer to the body, per metre that it falls: loose, medium, fitted."""


def flare_of(loose: float) -> float:
    """How steeply a top falls, by its looseness in metres."""
    return _FLARES[int(loose < 0.009) + int(loose < 0.015)]


@lru_cache(maxsize=64)
def draped(person: Person, flare: float) -> tuple[Floats, Floats]:
    """(V, 3) the body at rest as it shows through a hanging top, and its normals (V, 3)."""
    body, field, vertices = body_model(), fields(), person.rest.vertices
    height = body.template[:, 2]
    trunk = np.flatnonzero((field.arm < 0.5) & (height > _LOW - 0.05) & (height < _HIGH + 0.02))
    levels = np.linspace(vertices[trunk, 2].max(), vertices[trunk, 2].min(), _LEVELS)
    core = trunk[field.arm[trunk] < 0.3]
    middle = np.median(vertices[core, 1])
    radii = _hang(_sections(vertices[core] - [0, middle, 0], levels), float(levels[0] - levels[1]), flare)
    x, y, z = (vertices[trunk] - [0, middle, 0]).T
    radius = np.hypot(x, y)
    missing = np.maximum(_look_up(radii, np.arctan2(x, -y), (levels[0] - z) / (levels[0] - levels[1])) - radius, 0)
    share = np.clip((_HIGH - height[trunk]) / 0.10, 0, 1) * np.clip((height[trunk] - _LOW) / 0.08, 0, 1)
    missing *= share * np.clip(1.4 - 3 * field.arm[trunk], 0, 1) / np.maximum(radius, 0.02)
    moved = np.zeros_like(vertices)
    moved[trunk, :2] = np.stack([x, y], 1) * missing[:, None]
    result = (vertices + smooth(moved, body.neighbours, 3)).astype(np.float32)
    return result, vertex_normals(result, body.faces)


@lru_cache(maxsize=64)
def draped_smooth(person: Person, flare: float, steps: int) -> tuple[Floats, Floats]:
    """(V, 3) `draped` without its details, and its normals smoothed alike."""
    vertices, normals = draped(person, flare)
    both = smooth(np.concatenate([vertices, normals], 1), body_model().neighbours, steps)
    return both[:, :3], both[:, 3:]


def _sections(points: Floats, levels: Floats) -> Floats:
    """(levels, angles) the radius of the convex hull of the points around each level."""
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    directions = np.stack([np.sin(angles), -np.cos(angles)])
    turn = np.cos(angles[:, None] - angles[None])
    reach = points[:, :2] @ directions
    radii = np.zeros((len(levels), _ANGLES), np.float32)
    for row, level in enumerate(levels):
        near = np.abs(points[:, 2] - level) < 0.018
        if near.any():
            support = reach[near].max(0)
            radii[row] = np.where(turn > 0.2, support[:, None] / np.maximum(turn, 0.2), np.inf).min(0)
        elif row:
            radii[row] = radii[row - 1]
    return radii


def _hang(radii: Floats, step: float, flare: float) -> Floats:
    """Cloth that falls from each level by `step` metres to the next, softened."""
    hung = radii.copy()
    for row in range(1, len(hung)):
        hung[row] = np.maximum(hung[row], hung[row - 1] - flare * step)
    for _ in range(2):
        hung = (np.roll(hung, 1, 1) + 2 * hung + np.roll(hung, -1, 1)) / 4
        hung[1:-1] = (hung[:-2] + 2 * hung[1:-1] + hung[2:]) / 4
    return hung


def _look_up(radii: Floats, angle: Floats, row: Floats) -> Floats:
    """(N,) radii at angles in radians and rows, interpolated."""
    column = (angle / (2 * np.pi) % 1) * _ANGLES
    row = np.clip(row, 0, len(radii) - 1.001)
    i, j = row.astype(np.int64), column.astype(np.int64)
    u, v = row - i, column - j
    first, second = j % _ANGLES, (j + 1) % _ANGLES
    upper = radii[i, first] * (1 - v) + radii[i, second] * v
    lower = radii[i + 1, first] * (1 - v) + radii[i + 1, second] * v
    return upper * (1 - u) + lower * u

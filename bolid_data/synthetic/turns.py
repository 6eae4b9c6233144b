"""Rotations in three dimensions."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats

_AXES = {"x": np.array([1.0, 0, 0]), "y": np.array([0, 1.0, 0]), "z": np.array([0, 0, 1.0])}


@dataclass(frozen=True)
class Axis:
    """A unit vector to turn about."""

    direction: Floats

    def turn(self, degrees: float) -> Floats:
        """(3, 3) the rotation by an angle, counter-clockwise seen from the vector's tip."""
        x, y, z = self.direction
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        angle = np.radians(degrees)
        return (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).astype(np.float32)


def about(axis: str, degrees: float) -> Floats:
    """(3, 3) the rotation about x, y or z."""
    return Axis(_AXES[axis]).turn(degrees)


def unit(vector: Floats) -> Floats:
    """The vector's direction."""
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def between(start: Floats, end: Floats) -> Floats:
    """(3, 3) the smallest rotation that takes one direction to another."""
    axis = np.cross(start, end)
    sine, cosine = float(np.linalg.norm(axis)), float(start @ end)
    if sine < 1e-8:
        axis = np.cross(start, _AXES["x"] if abs(start[0]) < 0.9 else _AXES["y"])
        return Axis(unit(axis)).turn(0.0 if cosine > 0 else 180.0)
    return Axis(axis / sine).turn(float(np.degrees(np.arctan2(sine, cosine))))


def frame(first: Floats, second: Floats) -> Floats:
    """(3, 3) columns: two orthogonal directions and the one across both."""
    return np.stack([first, second, np.cross(first, second)], 1)

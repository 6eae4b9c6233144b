"""Paints a head: skull, ears, face and hair. Lengths are in head heights, from the head's centre."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from small_world.flat.paint import Canvas, Colour, Point
from small_world.flat.people import HAIR, Person
from small_world.flat.pose import Figure

COVERS_EARS = ("bob", "long", "curly")
_WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class _Brush:
    """Paints on one head, in head heights."""

    canvas: Canvas
    figure: Figure
    half: float  # half the head's width

    def points(self, outline: Iterable[tuple[float, float]], out: float = 0.0) -> Point:
        return np.array([self.figure.face(x, y, out * self.half) for x, y in outline])

    def shape(self, outline: Iterable[tuple[float, float]], depth: float, colour: Colour, texture: str = "") -> None:
        self.canvas.shape(self.points(outline), depth * self.figure.head_height, colour, texture)

    def ball(self, x: float, y: float, size: tuple[float, float], colour: Colour) -> None:
        height = self.figure.head_height
        self.canvas.ball(self.figure.face(x, y), size[0] * height, size[1] * height, colour, self.figure.head_angle)

    def spot(self, at: tuple[float, float, float], size: tuple[float, float], colour: Colour, opacity: float = 1.0,
             edge: float = 1.0) -> None:  # fmt: skip
        """A flat ellipse at `at`: x, y, and how far the face stands out there, in half-widths."""
        height, angle = self.figure.head_height, self.figure.head_angle
        centre = self.figure.face(at[0], at[1], at[2] * self.half)
        self.canvas.spot(centre, size[0] * height, size[1] * height, colour, opacity, angle, edge)

    def line(self, points: list[tuple[float, float]], out: float, width: float, colour: Colour, opacity: float) -> None:
        self.canvas.line(self.points(points, out), width * self.figure.head_height, colour, opacity)


def draw_hair_behind(canvas: Canvas, person: Person, figure: Figure) -> None:
    """The hair behind the neck and shoulders; painted before the body."""
    brush = _Brush(canvas, figure, person.build.head_width / 2)
    length = {"bob": 0.50, "long": 0.98}.get(person.haircut)
    if length:
        sides = [(1.08, -0.42), (1.34, -0.1), (1.36, length * 0.5), (1.22, length), (0.7, length * 1.06)]
        outline = [(brush.half * x, y) for x, y in sides] + [(-brush.half * x, y) for x, y in reversed(sides)]
        brush.shape(outline, 0.2, HAIR[person.hair], "hair")
    if person.haircut == "curly":  # one scalloped shape: single curls are detected as faces
        turns = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        reach = 1 + 0.05 * np.sin(13 * turns)
        across, down = brush.half * 1.42 * reach * np.cos(turns), 0.60 * reach * np.sin(turns) - 0.07
        brush.shape(zip(across.tolist(), down.tolist(), strict=True), 0.22, HAIR[person.hair], "hair")


def draw_head(canvas: Canvas, person: Person, figure: Figure) -> None:
    """The head with its face and the hair in front of it; painted after the body."""
    brush = _Brush(canvas, figure, person.build.head_width / 2)
    for side in (-1, 1):
        brush.ball(side * brush.half, 0.06, (0.045, 0.085), person.skin)
    brush.shape(_skull(brush.half), 0.34, person.skin)
    _shading(brush, person)
    if person.beard:
        _beard(brush, person)
    for side in (-1, 1):
        _eye(brush, person, side)
    _nose(brush, person)
    _mouth(brush, person)
    _hair_in_front(brush, person)


def _skull(half: float) -> list[tuple[float, float]]:
    """The face's outline: an ellipse that narrows towards the chin."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    narrow = 1 - 0.26 * np.maximum(np.sin(turns), 0) ** 1.6
    return [(float(x), float(y)) for x, y in zip(half * np.cos(turns) * narrow, 0.5 * np.sin(turns), strict=True)]


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (x + share * (y - x) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _dark(colour: Colour, gain: float) -> Colour:
    return _mix((0.0, 0.0, 0.0), colour, gain)


def _arc(x: float, y: float, half: float, height: float) -> list[tuple[float, float]]:
    """A flat arch around (x, y), `height` above it in its middle."""
    steps = np.linspace(-1, 1, 9)
    return [(x + half * float(t), y - height * float(1 - t * t)) for t in steps]


def _shading(brush: _Brush, person: Person) -> None:
    """Eye sockets, blushed cheeks, the shadow beneath the lip, light on the chin."""
    shadow = _mix(_dark(person.skin, 0.62), (0.45, 0.12, 0.08), 0.15)
    for side in (-1, 1):
        brush.spot((side * brush.half * 0.46, -0.03, 0.8), (0.12, 0.07), shadow, 0.5)
        brush.spot((side * brush.half * 0.6, 0.14, 0.7), (0.12, 0.09), _mix(person.skin, (0.85, 0.35, 0.3), 0.35), 0.5)
    brush.spot((0, 0.34, 1), (0.09, 0.035), shadow, 0.4)
    brush.spot((0, 0.42, 0.8), (0.08, 0.05), _mix(person.skin, _WHITE, 0.2), 0.3)


def _eye(brush: _Brush, person: Person, side: int) -> None:
    x, y, out = side * brush.half * 0.46, -0.01, 0.85
    brush.spot((x, y, out), (0.066, 0.031), (0.90, 0.88, 0.86), edge=0.15)
    brush.spot((x, y, out), (0.030, 0.030), person.eyes, edge=0.2)
    brush.spot((x, y, out), (0.015, 0.015), (0.02, 0.02, 0.02), edge=0.2)
    brush.spot((x + 0.01, y - 0.012, out), (0.007, 0.007), _WHITE, 0.9, edge=0.4)
    brush.line(_arc(x, y, 0.072, 0.033), out, 0.016, _dark(person.skin, 0.2), 0.95)
    brush.line(_arc(x, y, 0.066, -0.031), out, 0.007, _dark(person.skin, 0.5), 0.7)
    brow = _mix(HAIR[person.hair], _dark(person.skin, 0.35), 0.4)
    brush.line(_arc(x + side * 0.008, y - 0.085, 0.088, 0.02), out, 0.024, brow, 0.85)


def _nose(brush: _Brush, person: Person) -> None:
    shadow, shine = _dark(person.skin, 0.62), _mix(person.skin, _WHITE, 0.3)
    away = -1 if brush.canvas.light.direction[0] > 0 else 1  # the side of the nose that the light does not reach
    brush.line([(away * 0.028, -0.03), (away * 0.034, 0.05), (away * 0.04, 0.13)], 1.05, 0.022, shadow, 0.35)
    brush.spot((0, 0.06, 1.1), (0.02, 0.09), shine, 0.5)
    brush.spot((0, 0.165, 1.1), (0.075, 0.03), shadow, 0.6)
    brush.spot((0, 0.128, 1.25), (0.045, 0.04), shine, 0.65)
    for side in (-1, 1):
        brush.spot((side * 0.03, 0.158, 1.15), (0.013, 0.009), _dark(person.skin, 0.25), 0.9, edge=0.5)


def _mouth(brush: _Brush, person: Person) -> None:
    brush.spot((0, 0.262, 0.98), (0.105, 0.026), _dark(person.lips, 0.88), edge=0.3)
    brush.spot((0, 0.285, 0.98), (0.085, 0.030), person.lips, edge=0.3)
    brush.spot((0, 0.292, 0.98), (0.04, 0.012), (1, 0.9, 0.88), 0.35)
    brush.line(_arc(0, 0.248, 0.1, -0.018), 0.98, 0.011, _dark(person.lips, 0.4), 0.9)


def _beard(brush: _Brush, person: Person) -> None:
    """A short beard along jaw and chin, and above the lip."""
    half, colour = brush.half, _mix(HAIR[person.hair], person.skin, 0.3)
    jaw = sorted(((x * 1.02, y * 1.02) for x, y in _skull(half) if y > 0.1), reverse=True)
    inner = [(-half * 0.72, 0.18), (-0.13, 0.24), (-0.12, 0.33), (0.12, 0.33), (0.13, 0.24), (half * 0.72, 0.18)]
    brush.shape([*jaw, *inner], 0.2, colour, "hair")
    brush.spot((0, 0.215, 1), (0.13, 0.03), colour, 0.8, edge=0.6)


def _hair_in_front(brush: _Brush, person: Person) -> None:
    half, colour = brush.half, HAIR[person.hair]
    wide, high = (1.03, 0.525) if person.haircut in ("crop", "bun") else (1.13, 0.57)
    turns = np.linspace(0.04 * np.pi, 0.96 * np.pi, 22)
    outer = [(half * wide * float(np.cos(t)), 0.02 - high * float(np.sin(t))) for t in turns]
    part = 0.35 * half if person.haircut in ("bob", "long", "short") else 0.0
    hairline = [(-0.98, 0.0), (-0.88, -0.16), (-0.62, -0.27), (0.0, -0.335), (0.62, -0.27), (0.88, -0.16), (0.98, 0.0)]
    brush.shape(outer + [(half * x + part * (1 - x * x), y) for x, y in hairline], 0.16, colour, "hair")
    if person.haircut == "bun":  # a flat knot: a ball is detected as a head
        knot = [(-0.19, -0.52), (-0.15, -0.63), (0.0, -0.67), (0.15, -0.63), (0.19, -0.52)]
        brush.shape(knot, 0.08, colour, "hair")
    if person.haircut in ("bob", "long"):
        low = 0.48 if person.haircut == "bob" else 0.72
        lock = [(1.05, -0.25), (1.3, 0), (1.32, low * 0.6), (1.16, low), (0.98, low * 0.9), (0.94, 0.1), (0.86, -0.2)]
        for side in (-1, 1):
            brush.shape([(side * half * x, y) for x, y in lock], 0.1, colour, "hair")

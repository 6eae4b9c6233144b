"""Procedural surfaces of places: linear colours of points in the place's own axes, metres."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.lens import to_linear
from bolid_data.synthetic.noise import grain, look_up, tile

Colour = tuple[float, float, float]
linear = to_linear


@dataclass(frozen=True)
class Paint:
    """(N, 3) linear colours of points (N, 3) seen from distances (N,); `glows`: it is light, whatever falls on it."""

    colours: Callable[[Floats, Floats], Floats]
    glows: bool = False


def _shaded(colour: Floats, shade: Floats) -> Floats:
    return colour * np.clip(shade, 0.1, 2.0)[:, None]


def _fine(distance: Floats, reach: float) -> Floats:
    """1 near the camera, 0 where a detail of this size would only flicker."""
    return np.clip(1.5 - distance / reach, 0, 1)


def plain(colour: Colour) -> Paint:
    base = to_linear(colour)
    return Paint(
        lambda at, far: _shaded(base, 1 + 0.03 * look_up(tile(), at[:, 0] + at[:, 1], at[:, 2] + at[:, 1] * 0.5))
    )


def paper(colour: Colour) -> Paint:
    base = to_linear(colour)
    return Paint(lambda at, far: _shaded(base, 1 + 0.02 * look_up(tile(), at[:, 0] * 0.3, (at[:, 1] + at[:, 2]) * 0.3)))


def glow(colour: Colour) -> Paint:
    base = to_linear(colour) * 1.1
    return Paint(lambda at, far: np.broadcast_to(base, at.shape), glows=True)


def planks(colour: Colour, wide: float, upright: bool = False) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        across = at[:, 0]
        along = at[:, 2] if upright else at[:, 1] + at[:, 2]
        row = np.floor(across / wide)
        tone = look_up(grain(), row * 0.37, row * 0.61) * 0.12
        rings = 0.10 * look_up(tile(), across * 3 + row * 0.3, along * 0.22 + row * 0.7)
        gap = np.abs(across / wide % 1 - 0.5) * wide > wide / 2 - 0.004
        return _shaded(base, (1 + tone + rings) * np.where(gap, 1 - 0.5 * _fine(far, 6), 1))

    return Paint(colours)


def tiles(colour: Colour, size: float) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        u, v = at[:, 0] / size, at[:, 1] / size
        tone = 0.07 * look_up(grain(), np.floor(u) * 0.13, np.floor(v) * 0.17)
        joint = np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5)) > 0.5 - 0.006 / size
        dirt = 0.10 * look_up(tile(), at[:, 0] * 0.3, at[:, 1] * 0.3) + 0.04 * look_up(
            grain(), at[:, 0] * 2, at[:, 1] * 2
        ) * _fine(far, 4)
        return _shaded(base, (1 + tone + dirt) * np.where(joint, 1 - 0.45 * _fine(far, 7), 1))

    return Paint(colours)


def carpet(colour: Colour) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        along = at[:, 1] + at[:, 2]
        pile = 0.10 * look_up(grain(), at[:, 0] * 1.7, along * 1.7) * _fine(far, 4)
        return _shaded(base, 1 + 0.06 * look_up(tile(), at[:, 0] * 0.7, along * 0.7) + pile)

    return Paint(colours)


def wall(colour: Colour, second: Colour, pattern: str) -> Paint:
    base, other = to_linear(colour), to_linear(second)

    def colours(at: Floats, far: Floats) -> Floats:
        u, v = at[:, 0] + at[:, 1], at[:, 2]
        stain = 1 + 0.03 * look_up(tile(), u * 0.4, v * 0.4)
        if pattern == "stripes":
            return np.where((u % 0.24 < 0.12)[:, None], base, (base + other) / 2) * stain[:, None]
        if pattern == "panels":
            edge = (np.abs(u % 0.9 - 0.45) > 0.43) | (np.abs(v % 1.2 - 0.6) > 0.57)
            return _shaded(base, stain * np.where(edge, 0.82, 1))
        if pattern == "bricks":
            return _bricks(u, v, base, far) * stain[:, None]
        return _shaded(base, stain)

    return Paint(colours)


def _bricks(u: Floats, v: Floats, base: Floats, far: Floats) -> Floats:
    row = np.floor(v / 0.08)
    shifted = u / 0.24 + 0.5 * (row % 2)
    tone = 1 + 0.16 * look_up(grain(), np.floor(shifted) * 0.117, row * 0.193)
    joint = (np.abs(shifted % 1 - 0.5) > 0.47) | (np.abs(v / 0.08 % 1 - 0.5) > 0.43)
    amount = 0.5 * _fine(far, 9)
    return _shaded(base, tone * np.where(joint, 1 - amount, 1))


def window(light: Colour, half: float, glows: bool = True) -> Paint:
    base = to_linear(light) * (1.15 if glows else 0.7)

    def colours(at: Floats, far: Floats) -> Floats:
        view = 1 + 0.12 * look_up(tile(), at[:, 0] * 0.5, at[:, 2] * 0.5) - 0.25 * (at[:, 2] < 1.3)
        bars = np.abs((at[:, 0] / half * 1.0) % 1.0 - 0.5) > 0.465
        return np.where(bars[:, None], 0.55, _shaded(base, view))

    return Paint(colours, glows)


def picture(first: Colour, second: Colour, third: Colour, seed: int) -> Paint:
    a, b, c = (to_linear(colour) for colour in (first, second, third))

    def colours(at: Floats, far: Floats) -> Floats:
        level = look_up(tile(), at[:, 0] * 0.9 + seed * 0.37, at[:, 2] * 0.9 + seed * 0.11)
        return np.where((level > 0.5)[:, None], a, np.where((level > -0.5)[:, None], b, c))

    return Paint(colours)


def shelf(colour: Colour, seed: int) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        row, book = np.floor(at[:, 2] / 0.32), np.floor(at[:, 0] / 0.035)
        height = 0.72 + 0.10 * look_up(grain(), book * 0.137 + seed, row * 0.31)
        inside = (at[:, 2] / 0.32 % 1) < height
        shade = [
            0.10 + 0.12 * np.abs(look_up(grain(), book * p + seed * 0.1, row * q))
            for p, q in ((0.11, 0.53), (0.29, 0.17), (0.43, 0.71))
        ]
        board = (at[:, 2] / 0.32 % 1) > 0.93
        return np.where(board[:, None], base, np.where(inside[:, None], np.stack(shade, 1), base * 0.25))

    return Paint(colours)


def leaves(colour: Colour) -> Paint:
    base = to_linear(colour)
    tint = np.array([1.25, 1.05, 0.8])

    def colours(at: Floats, far: Floats) -> Floats:
        near, wide = (
            look_up(grain(), (at[:, 0] + at[:, 1]) * 0.55, (at[:, 2] + 0.3 * at[:, 1]) * 0.55),
            look_up(tile(), at[:, 0] * 0.8 + at[:, 1], at[:, 2]),
        )
        shade = np.clip(0.95 + 0.28 * near * _fine(far, 14) + 0.22 * wide, 0.25, 1.8)[:, None]
        return base * shade * (1 + (tint - 1) * np.clip(shade - 1, 0, 1))

    return Paint(colours)


def bark() -> Paint:
    return Paint(
        lambda at, far: _shaded(
            to_linear((0.36, 0.28, 0.21)), 1 + 0.25 * look_up(tile(), at[:, 0] * 5 + at[:, 1] * 5, at[:, 2] * 0.6)
        )
    )


def grass(colour: Colour) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        blades = 0.22 * look_up(grain(), at[:, 0] * 1.1, at[:, 1] * 0.7) * _fine(far, 8)
        patches = 0.16 * look_up(tile(), at[:, 0] * 0.12, at[:, 1] * 0.12) + 0.10 * look_up(tile(), at[:, 0], at[:, 1])
        return _shaded(base, 1 + blades + patches)

    return Paint(colours)


def gravel(colour: Colour) -> Paint:
    base = to_linear(colour)
    return Paint(
        lambda at, far: _shaded(
            base,
            1
            + 0.14 * look_up(grain(), at[:, 0] * 1.5, at[:, 1] * 1.5) * _fine(far, 6)
            + 0.12 * look_up(tile(), at[:, 0] * 0.6, at[:, 1] * 0.6 + at[:, 2]),
        )
    )


def asphalt() -> Paint:
    return Paint(
        lambda at, far: _shaded(
            to_linear((0.30, 0.30, 0.31)),
            1
            + 0.08 * look_up(grain(), at[:, 0] * 2, at[:, 1] * 2) * _fine(far, 6)
            + 0.08 * look_up(tile(), at[:, 0] * 0.2, at[:, 1] * 0.2),
        )
    )


def sand(colour: Colour, shore: float) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        wet = np.clip((at[:, 1] - shore + 1.2 + 0.3 * look_up(tile(), at[:, 0] * 0.1, 0 * at[:, 1])) / 0.5, 0, 1)
        ripples = 0.10 * look_up(tile(), at[:, 0] * 0.5, at[:, 1] * 1.1) + 0.06 * look_up(
            grain(), at[:, 0] * 2, at[:, 1] * 2
        ) * _fine(far, 5)
        return _shaded(base, (1 + ripples) * (1 - 0.45 * wet))

    return Paint(colours)


def water(colour: Colour) -> Paint:
    base = to_linear(colour)

    def colours(at: Floats, far: Floats) -> Floats:
        scale = 1 / np.maximum(far, 4)
        swell = look_up(tile(), at[:, 0] * scale * 0.8, np.log(np.maximum(far, 1)) * 2.5)
        crest = np.clip(swell - 1.5, 0, 1)[:, None]
        haze = np.clip(far / 400, 0, 1)[:, None]
        return (_shaded(base, 1 + 0.22 * swell) * (1 - haze) + haze * 0.5) * (1 - crest) + 0.8 * crest

    return Paint(colours)


def segments(first: Colour, second: Colour) -> Paint:
    a, b = to_linear(first), to_linear(second)
    return Paint(
        lambda at, far: np.where(
            (np.floor(np.arctan2(at[:, 1] - at[:, 1].mean(), at[:, 0] - at[:, 0].mean()) * 1.3) % 2 == 0)[:, None], a, b
        )
    )


def facade(colour: Colour, seed: int, pattern: str, axis: int = 0) -> Paint:
    base = to_linear(colour)
    rng = np.random.default_rng((seed, 5))
    wide, high, across, up = (
        rng.uniform(1.4, 2.6),
        rng.uniform(2.7, 3.3),
        rng.uniform(0.22, 0.36),
        rng.uniform(0.25, 0.36),
    )
    glass, frame_ = to_linear(tuple(rng.uniform(0.18, 0.42, 3))), to_linear(tuple([rng.uniform(0.5, 0.95)] * 3))
    plinth = rng.uniform(0.4, 0.9)

    def colours(at: Floats, far: Floats) -> Floats:
        u, v = at[:, axis] / wide, at[:, 2] / high
        x, z = np.abs(u % 1 - 0.5), np.abs((v - 0.05) % 1 - 0.5)
        wall_ = (
            _bricks(at[:, axis], at[:, 2], base, far)
            if pattern == "bricks"
            else _shaded(base, 1 + 0.05 * look_up(tile(), at[:, axis] * 0.3, at[:, 2] * 0.3))
        )
        wall_ = np.where((at[:, 2] < plinth)[:, None], wall_ * 0.72, wall_)
        pane = (x < across) & (z < up)
        edge = pane & ((x > across - 0.035) | (z > up - 0.025) | (x < 0.012))
        tone = (
            1
            + 0.5 * look_up(grain(), np.floor(u) * 0.21 + seed, np.floor(v) * 0.37)
            + 0.3 * look_up(tile(), u * 0.3, v * 0.4)
        )
        result = np.where(pane[:, None], _shaded(glass, tone), wall_)
        return np.where(edge[:, None], frame_, result)

    return Paint(colours)


def sky(rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """A sky from clear to grey, with clouds."""
    clear = rng.uniform(0, 1)
    zenith = to_linear((0.42 - 0.1 * clear, 0.58 - 0.02 * clear, 0.82)) * (0.5 + 0.5 * clear) + 0.6 * (1 - clear) * 0.55
    horizon = np.array([0.80, 0.86, 0.92]) * 0.95
    clouds, shift = rng.uniform(0.2, 1.1), rng.uniform(0, 1, 2)

    def light(directions: Floats) -> Floats:
        up = np.clip(directions[:, 2], 0.015, 1)
        share = np.clip(up * 2.2, 0, 1)[:, None] ** 0.6
        base = horizon * (1 - share) + zenith * share
        place = directions[:, :2] / up[:, None]
        cover = np.clip(
            (look_up(tile(), place[:, 0] * 0.045 + shift[0], place[:, 1] * 0.045 + shift[1]) - 0.3) * 0.8 * clouds,
            0,
            0.85,
        )[:, None]
        cover = cover * np.clip(up * 8, 0, 1)[:, None]
        return base * (1 - cover) + np.array([0.97, 0.97, 0.98]) * cover

    return light

"""Backgrounds: a studio, a room, a garden, the sea, a street. Nothing in them resembles a person or text."""

from collections.abc import Callable

import cv2
import numpy as np

from small_world.flat.paint import Colour, Pixels, noise, rgb

Size = tuple[int, int]  # height, width


def draw_scene(rng: np.random.Generator, size: Size, scene: str) -> Pixels:
    """A background (height, width, 3) in 0..1.

    `scene` is one of `SCENES`. Patches of light and shade cover it, so that two backgrounds of one kind differ.
    """
    pixels = SCENES[scene](rng, size)
    patches = 1 + np.float32(0.42) * noise(rng, size, (4, 3)) + np.float32(0.12) * noise(rng, size, (9, 7))
    return np.clip(pixels * patches[..., None], 0.01, 1).astype(np.float32)


def _colour(rng: np.random.Generator, low: float, high: float, tint: float) -> Pixels:
    value = rng.uniform(low, high)
    return np.clip(value + rng.uniform(-tint, tint, 3), 0.02, 1).astype(np.float32)


def _down(size: Size, top: Pixels, bottom: Pixels) -> Pixels:
    """A vertical gradient (height, width, 3)."""
    t = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
    return np.broadcast_to(top * (1 - t) + bottom * t, (*size, 3)).astype(np.float32).copy()


def _polygon(pixels: Pixels, points: list[tuple[float, float]], colour: Pixels) -> None:
    """A flat polygon; points are fractions of the size (x, y)."""
    height, width = pixels.shape[:2]
    corners = np.round(np.array(points) * (width * 16, height * 16)).astype(np.int32)
    cv2.fillPoly(pixels, [corners], [float(c) for c in colour], cv2.LINE_AA, 4)


def _box(pixels: Pixels, left: float, top: float, right: float, bottom: float, colour: Pixels) -> None:
    _polygon(pixels, [(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def _blur(pixels: Pixels, share: float) -> Pixels:
    side = max(3, int(pixels.shape[1] * share) | 1)
    return np.asarray(cv2.blur(cv2.blur(pixels, (side, side)), (side, side)), np.float32)


def _studio(rng: np.random.Generator, size: Size) -> Pixels:
    floor = rng.uniform(0.74, 0.86)
    wall = _colour(rng, 0.15, 0.85, 0.16)
    pixels = _down(size, wall, wall * np.float32(rng.uniform(0.55, 1.3)))
    _box(pixels, 0, floor, 1, 1, wall * np.float32(rng.uniform(0.6, 0.85)))
    pixels = _blur(pixels, 0.06)  # a backdrop has no edge where it meets the floor
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    away = np.hypot((x / size[1] - rng.uniform(0, 1)) / 0.9, (y / size[0] - rng.uniform(0, 0.9)) / 0.8)
    pixels *= (np.float32(1.4) - np.float32(0.8) * np.clip(away, 0, 1))[..., None]
    return pixels


def _room(rng: np.random.Generator, size: Size) -> Pixels:
    floor = rng.uniform(0.66, 0.82)
    wall, wood = _colour(rng, 0.35, 0.85, 0.14), _colour(rng, 0.2, 0.5, 0.05) + rgb(0.08, 0.0, -0.06)
    pixels = _down(size, wall, wall * np.float32(0.8))
    if rng.random() < 0.7:  # a window
        left, top = rng.choice([rng.uniform(0.02, 0.2), rng.uniform(0.6, 0.75)]), rng.uniform(0.05, 0.2)
        frame, glass = _colour(rng, 0.7, 0.95, 0.03), _colour(rng, 0.75, 1.0, 0.08)
        _box(pixels, left - 0.015, top - 0.01, left + 0.315, top + 0.41, frame)
        for column in range(2):
            for row in range(2):
                x, y = left + column * 0.155, top + row * 0.205
                _box(pixels, x, y, x + 0.145, y + 0.195, glass)
    for _ in range(rng.integers(1, 3)):  # pictures without content, hung on the wall
        left, top, wide = rng.uniform(0, 0.85), rng.uniform(0.05, 0.35), rng.uniform(0.12, 0.25)
        _box(pixels, left, top, left + wide, top + wide * 0.7, _colour(rng, 0.1, 0.4, 0.05))
        _box(
            pixels,
            left + 0.012,
            top + 0.009,
            left + wide - 0.012,
            top + wide * 0.7 - 0.009,
            _colour(rng, 0.3, 0.8, 0.2),
        )
    _furniture(rng, pixels, floor)
    _box(pixels, 0, floor - 0.018, 1, floor, np.clip(wall * np.float32(1.15), 0, 1))
    _box(pixels, 0, floor, 1, 1, wood)
    for board in np.linspace(-0.6, 1.6, 16):
        foot = 0.5 + (board - 0.5) * 2.2
        _polygon(
            pixels, [(board, floor), (board + 0.003, floor), (foot + 0.006, 1), (foot, 1)], wood * np.float32(0.75)
        )
    return _blur(pixels, rng.uniform(0.004, 0.012))


def _furniture(rng: np.random.Generator, pixels: Pixels, floor: float) -> None:
    """A cupboard or a sofa against the wall."""
    left, wide = rng.choice([rng.uniform(-0.1, 0.05), rng.uniform(0.6, 0.75)]), rng.uniform(0.3, 0.45)
    colour = _colour(rng, 0.15, 0.6, 0.12)
    high = rng.uniform(0.12, 0.32)
    _box(pixels, left, floor - high, left + wide, floor + 0.01, colour)
    _box(pixels, left, floor - high * 0.5, left + wide, floor - high * 0.5 + 0.006, colour * np.float32(0.6))
    _box(pixels, left + wide / 2, floor - high * 0.5, left + wide / 2 + 0.006, floor, colour * np.float32(0.6))


def _bushes(rng: np.random.Generator, pixels: Pixels, base: float, colour: Colour, count: int, spread: float) -> None:
    """Foliage: many overlapping balls of about one colour, above `base`."""
    height, width = pixels.shape[:2]
    for _ in range(count):
        x, y = rng.uniform(-0.05, 1.05) * width, (base - abs(rng.normal(0, spread))) * height
        gain = rng.uniform(0.6, 1.35)
        paint = [float(min(1.0, c * gain)) for c in colour]
        cv2.circle(pixels, (int(x), int(y)), int(width * rng.uniform(0.02, 0.07)), paint, -1, cv2.LINE_AA)


def _garden(rng: np.random.Generator, size: Size) -> Pixels:
    floor = rng.uniform(0.56, 0.74)
    sky = rgb(0.50, 0.68, 0.90) * np.float32(rng.uniform(0.75, 1.1))
    pixels = _down(size, sky, np.clip(sky * np.float32(1.2) + np.float32(0.08), 0, 1))
    clouds = np.clip(noise(rng, size, (7, 5)), 0, 1)[..., None] * np.float32(0.7)
    pixels += clouds * (np.float32(0.97) - pixels)
    green = (rng.uniform(0.10, 0.28), rng.uniform(0.28, 0.42), rng.uniform(0.08, 0.16))
    for _ in range(rng.integers(1, 4)):  # trees
        x, crown = rng.choice([rng.uniform(0, 0.25), rng.uniform(0.75, 1)]), rng.uniform(0.15, 0.4)
        _box(pixels, x - 0.02, crown, x + 0.02, floor, rgb(0.27, 0.19, 0.12))
        for _ in range(40):
            spot = rng.normal((x, crown), (0.15, 0.10)) * (size[1], size[0])
            paint = [c * rng.uniform(0.6, 1.4) for c in green]
            cv2.circle(pixels, (int(spot[0]), int(spot[1])), int(size[1] * 0.05), paint, -1, cv2.LINE_AA)
    _bushes(rng, pixels, floor, green, 150, rng.uniform(0.02, 0.12))
    grass = rgb(*green) * np.float32(rng.uniform(1.1, 1.6))
    _box(pixels, 0, floor, 1, 1, grass)
    pixels = _blur(pixels, rng.uniform(0.03, 0.05))  # a sharp crown on a trunk is detected as a person
    blades = noise(rng, size, (size[0] // 4, size[1] // 2))
    blades[: int(floor * size[0])] = 0
    pixels *= (1 + np.float32(0.18) * blades)[..., None]
    return pixels


def _sea(rng: np.random.Generator, size: Size) -> Pixels:
    # Above the waist: a horizon at the belt makes detectors see two people.
    horizon = rng.uniform(0.18, 0.30)
    shore = horizon + rng.uniform(0.05, 0.12)
    warm = rng.random() < 0.4  # an evening
    high = rgb(0.55, 0.45, 0.60) if warm else rgb(0.42, 0.64, 0.90)
    low = rgb(0.98, 0.70, 0.45) if warm else rgb(0.80, 0.90, 0.97)
    pixels = _down(size, high, low)
    clouds = np.clip(noise(rng, size, (14, 4)), 0, 1)[..., None] * np.float32(0.6)
    pixels += clouds * (np.float32(0.95) - pixels)
    water = rgb(0.20, 0.42, 0.55) * np.float32(rng.uniform(0.7, 1.3))
    _box(pixels, 0, horizon, 1, shore, water)
    tilt = rng.uniform(-0.05, 0.05)
    _polygon(pixels, [(0, shore - tilt), (1, shore + tilt), (1, 1), (0, 1)], rgb(0.78, 0.68, 0.52))
    waves = noise(rng, size, (size[0] // 5, size[1] // 40))
    waves[: int(horizon * size[0])] = 0
    pixels *= (1 + np.float32(0.12) * waves)[..., None]
    return _blur(pixels, rng.uniform(0.004, 0.012))


def _street(rng: np.random.Generator, size: Size) -> Pixels:
    floor = rng.uniform(0.68, 0.8)
    sky = _colour(rng, 0.65, 0.9, 0.1)
    pixels = _down(size, sky, sky * np.float32(1.05))
    x = -0.1
    while x < 1:
        wide, top = rng.uniform(0.18, 0.4), rng.uniform(-0.05, 0.4)
        wall, dark = _colour(rng, 0.25, 0.75, 0.12), _colour(rng, 0.08, 0.3, 0.05)
        _box(pixels, x, top, x + wide, floor, wall)
        for row in np.arange(top + 0.04, floor - 0.08, 0.085):
            for column in np.arange(x + 0.03, x + wide - 0.05, 0.075):
                _box(pixels, column, row, column + 0.04, row + 0.05, dark * np.float32(rng.uniform(0.7, 1.8)))
        x += wide
    _box(pixels, 0, floor, 1, 1, _colour(rng, 0.3, 0.55, 0.03))
    _box(pixels, 0, floor, 1, floor + 0.012, _colour(rng, 0.55, 0.75, 0.02))
    return _blur(pixels, rng.uniform(0.015, 0.035))


SCENES: dict[str, Callable[[np.random.Generator, Size], Pixels]] = {
    "studio": _studio,
    "room": _room,
    "garden": _garden,
    "sea": _sea,
    "street": _street,
}

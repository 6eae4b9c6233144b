"""Fabrics: patterns, weave, seams, buttons and belts, at places on the mean adult."""

import numpy as np

from bolid_data.synthetic.body import Floats
from bolid_data.synthetic.garments import WAIST
from bolid_data.synthetic.lens import to_linear
from bolid_data.synthetic.looks import CLOTHES, Cloth, Look
from bolid_data.synthetic.noise import grain, look_up, tile


def cloth_colours(at: Floats, size: float, cloth: Cloth, name: str, look: Look) -> Floats:
    """(N, 3) linear colours at texture coordinates (N, 3); a pixel covers `size` metres."""
    x, y, z = at.T
    if name == "bottom":
        around = np.arctan2(np.abs(x) - 0.145, -y) * 0.09
    else:
        around = np.where(np.abs(x) > 0.19, x, np.arctan2(x, -(y + 0.01)) * 0.15)
    first, second = to_linear(CLOTHES[cloth.colour]), to_linear(CLOTHES[cloth.second])
    share = _pattern(around, z, x, y, cloth, size)[:, None]
    colour = first * (1 - share) + second * share
    shade = 1 + 0.035 * look_up(tile(), around * 2.1, z * 2.1)
    if size < 0.0022:  # finer than pixels, a weave would only be noise
        shade += 0.05 * cloth.knit * look_up(grain(), around * 6, z * 6)
        shade += 0.05 * cloth.knit * np.sin(z * 2 * np.pi / 0.005) * (cloth.knit > 0.7)
    if cloth.pattern == "denim":
        shade += 0.06 * np.sin((around + z) * 2 * np.pi / 0.006) * (size < 0.002)
        shade += 0.20 * np.exp(-np.square((z + 0.14) / 0.14)) * np.exp(-np.square((np.abs(x) - 0.13) / 0.05)) * (y < 0)
    return colour * (np.clip(shade, 0.5, 1.6) * _details(at, around, name, look, size))[:, None]


def _pattern(u: Floats, v: Floats, x: Floats, y: Floats, cloth: Cloth, size: float) -> Floats:
    """(N,) 0 to 1: how much of the second colour."""
    step, edge = max(cloth.size, 2.5 * size), max(size * 0.7, 0.0008)

    def band(place: Floats, share: float) -> Floats:
        distance = np.abs((place / step) % 1 - 0.5) * step
        return np.clip(0.5 + (distance - (0.5 - share / 2) * step) / edge, 0, 1)

    if cloth.pattern == "stripes":
        return band(v, 0.45)
    if cloth.pattern == "checks":
        return 0.42 * band(v, 0.4) + 0.42 * band(u, 0.4)
    if cloth.pattern == "dots":
        row = np.floor(v / step)
        distance = np.hypot(((u / step + 0.5 * (row % 2)) % 1 - 0.5), (v / step) % 1 - 0.5) * step
        return np.clip(0.5 + (0.27 * step - distance) / edge, 0, 1)
    if cloth.pattern == "melange":
        return np.clip(0.16 + 0.13 * look_up(grain(), u * 4, v * 4) * (size < 0.004), 0, 1)
    if cloth.pattern == "print":
        motif, height = int(cloth.size * 1000) % 3, v - 0.43
        if motif == 0:
            reach = np.abs(np.hypot(x, height) - 0.045) - 0.012
        elif motif == 1:
            bars = np.maximum(np.abs(x) - 0.07, np.abs((height % 0.03) - 0.015) - 0.008)
            reach = bars + 10 * (np.abs(height) > 0.045)
        else:
            reach = np.abs(x) * 0.8 + np.abs(height) - 0.05
        return np.clip(0.5 - reach / edge, 0, 1) * (y < -0.02)
    if cloth.pattern == "blocks":
        return np.clip(0.5 + (v - 0.42) / edge, 0, 1)
    return np.zeros(len(u), np.float32)


def _details(at: Floats, around: Floats, name: str, look: Look, size: float) -> Floats:
    """(N,) factors: seams, hems, buttons, belts."""
    x, y, z = at.T
    thin = max(0.0012, size * 0.5)
    shade = np.ones(len(x), np.float32)

    def line(distance: Floats, depth: float) -> None:
        nonlocal shade
        shade = shade * (1 - depth * np.exp(-np.square(distance / thin)) * min(0.0012 / thin * 1.5, 1))

    if name == "bottom" and look.bottom is not None:
        line(z - look.bottom.hem - 0.018, 0.3)
        line(z - WAIST + 0.035, 0.35)
        if look.bottom.kind in ("trousers", "jeans", "shorts"):
            line(np.abs(around) - 0.14, 0.3)  # the outer seam
            line(np.where((y < 0) & (z > 0.06), x, 1.0), 0.35)
            line(np.where((y < 0) & (z > 0.1) & (z < 0.2), np.abs(x) - 0.075 - (0.2 - z) * 0.5, 1.0), 0.35)
        return shade
    top = next((top for top in look.tops if top.material == name), None)
    if top is None:
        return shade
    line(z - top.hem - 0.018, 0.25)
    if top.kind in ("shirt", "coat"):
        centre = (y < -0.02) & (np.abs(x) < 0.1)
        line(np.where(centre, x - 0.016, 1.0), 0.35)
        buttons = np.hypot(x, (z % 0.085) - 0.0425) < (0.005 if top.kind == "shirt" else 0.010)
        shade = np.where(centre & buttons & (size < 0.006), 0.45, shade)
    if top.kind in ("jacket", "coat") and top.front >= 0:
        line(np.where((y < -0.02) & (z < 0.25), np.abs(x) - 0.09, 1.0), 0.3)
    if top.kind == "sweater":
        ribs = (np.sin(around * 2 * np.pi / 0.008) < 0) & (z < top.hem + 0.05)
        shade = np.where(ribs & (size < 0.004), shade * 0.88, shade)
    if top.kind == "dress":
        shade = np.where(np.abs(z - 0.285) < 0.010, shade * 0.7, shade)
    return shade

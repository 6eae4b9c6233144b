"""Cheap deterministic noise: sums of waves at points, and a tile of many scales to look up."""

from functools import cache

import numpy as np

from bolid_data.synthetic.body import Floats

_SIZE = 512


@cache
def _directions(seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng((seed, 77))
    directions = rng.normal(size=(5, 3))
    directions *= (rng.uniform(0.6, 1.5, 5) / np.linalg.norm(directions, axis=1))[:, None]
    return directions.astype(np.float32), rng.uniform(0, 2 * np.pi, 5).astype(np.float32)


def waves(points: Floats, frequency: float, seed: int) -> Floats:
    """(N,) smooth noise of about -1 to 1 at points (N, 3); `frequency` in radians per metre."""
    directions, phases = _directions(seed)
    return np.sin(points.astype(np.float32) @ (directions.T * np.float32(frequency)) + phases).sum(1) * np.float32(0.42)


def wave_slopes(points: Floats, frequency: float, seed: int) -> Floats:
    """(N, 3) how `waves` rises, per radian: for bumps."""
    directions, phases = _directions(seed)
    return np.cos(points @ (directions.T * np.float32(frequency)) + phases) @ directions


@cache
def tile() -> Floats:
    """(512, 512) fractal noise without seams, of mean 0 and standard deviation 1."""
    rng = np.random.default_rng(20260)
    spectrum = np.fft.rfft2(rng.normal(size=(_SIZE, _SIZE)))
    fy, fx = np.fft.fftfreq(_SIZE)[:, None], np.fft.rfftfreq(_SIZE)[None]
    spectrum *= 1 / np.maximum(np.hypot(fy, fx), 3 / _SIZE) ** 1.15
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (_SIZE, _SIZE))
    return (noise / noise.std()).astype(np.float32)


@cache
def grain() -> Floats:
    """(512, 512) white noise of standard deviation 1, slightly soft."""
    noise = np.random.default_rng(20261).normal(size=(_SIZE, _SIZE))
    noise = noise + 0.5 * (np.roll(noise, 1, 0) + np.roll(noise, 1, 1))
    return (noise / noise.std()).astype(np.float32)


def look_up(table: Floats, u: Floats, v: Floats) -> Floats:
    """(N,) values of a tile at coordinates in tiles, nearest."""
    return table[(v * _SIZE).astype(np.int64) & (_SIZE - 1), (u * _SIZE).astype(np.int64) & (_SIZE - 1)]

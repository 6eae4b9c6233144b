"""Light: one soft source (sun, window or lamp), and the sky or room around it. Linear light; white cloth that faces the
source is about 1."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats


@dataclass(frozen=True)
class Light:
    """The light of a photo."""

    direction: Floats  # (3,) towards the source
    colour: Floats  # (3,) of the source
    softness: float  # radius of the source over its distance
    above: Floats  # (3,) light from above
    around: Floats  # (3,) light from the horizon
    below: Floats  # (3,) light reflected by the ground

    def ambient(self, normals: Floats) -> Floats:
        """(N, 3) light from all around on surfaces with normals (N, 3)."""
        up = normals[:, 2:]
        side = 1 - np.abs(up)
        return np.maximum(up, 0) * self.above + side * self.around + np.maximum(-up, 0) * self.below


def draw_light(rng: np.random.Generator, outdoors: bool, open_sky: bool = True) -> Light:
    """Random light; the source stands on the camera's side of the person, seldom behind."""
    azimuth = np.radians(np.clip(rng.normal(0, 48), -120, 120))
    height = np.radians(rng.uniform(22, 62))
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.cos(azimuth) * np.cos(height), np.sin(height)])
    warm = rng.uniform(-0.03, 0.09)
    overcast = rng.random() < 0.35
    strength = rng.uniform(0.25, 0.45) if overcast else rng.uniform(0.62, 0.85)
    if not outdoors:
        strength = rng.uniform(0.45, 0.7)
    colour = strength * np.array([1 + warm, 1.0, 1 - 1.4 * warm])
    rest = 1.1 - strength
    cool = rng.uniform(0.0, 0.07) * (outdoors and not overcast)
    above = rest * np.array([1 - cool, 1.0, 1 + cool]) * rng.uniform(0.95, 1.15)
    softness = rng.uniform(0.25, 0.5) if overcast or not outdoors else rng.uniform(0.02, 0.08)
    return Light(
        direction.astype(np.float32), colour.astype(np.float32), float(softness), above.astype(np.float32),
        (above * rng.uniform(0.75, 0.95)).astype(np.float32),
        (rest * rng.uniform(0.45, 0.7) * np.array([1.05, 1.0, 0.93])).astype(np.float32),
    )  # fmt: skip

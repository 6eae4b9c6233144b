"""Bodies: by which law their proportions vary, and what may be said of them in words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from small_world.flat.people import Build

TRAITS = ("head", "shoulders", "girth", "hips", "legs", "shins", "arms", "limbs")
"""What a body varies in, each by itself: sizes of the head, widths of shoulders, trunk and hips, lengths of the legs
and of the shins' part of them, length of the arms, thickness of all limbs."""

Traits = NDArray[np.float64]
"""(8,): the traits, each in -1..1; 0 is an average adult."""

_WORDS = {
    "head": ("tall", "short"),  # of two people of one height in the picture, the taller one has the smaller head
    "girth": ("slim", "stout"),
    "shoulders": ("narrow-shouldered", "broad-shouldered"),
    "legs": ("short-legged", "long-legged"),
    "arms": ("short-armed", "long-armed"),
}
_CLEAR = 1 / 3
"""A trait nearer to the average is not spoken of: a third of all people have none of its two words."""

_ANKLE = 0.95  # from the crown down, in statures


@dataclass(frozen=True)
class Law:
    """How far each of `TRAITS` reaches from the average, as a share of it; the average head, of the stature."""

    reach: tuple[float, ...]
    head: float


PAINTED = Law(reach=(0.17, 0.22, 0.32, 0.16, 0.11, 0.09, 0.18, 0.28), head=0.136)
"""Wider than life, so that the differences show at 64×64 px, yet nobody is a caricature."""

SKETCHED = Law(reach=(0.17, 0.22, 0.32, 0.16, 0.11, 0.09, 0.18, 0.28), head=0.165)
"""Of the second style: everybody's head is a fifth larger, as in comics."""


def draw_traits(rng: np.random.Generator) -> Traits:
    """A body: every trait evenly over its range, none tied to another."""
    return rng.uniform(-1, 1, len(TRAITS))


def build(traits: Traits, law: Law = PAINTED) -> Build:
    """What the gallery's painter draws of a body."""
    head, shoulders, girth, hips, legs, shins, arms, limbs = (1 + traits * np.array(law.reach)).tolist()
    hip_height = _ANKLE - 0.46 * legs
    wide, stout = 0.112 * shoulders, 1.05 * girth
    return Build(
        head=law.head * head,
        head_width=0.72,
        shoulders=wide,
        chest=wide * 0.83 * (0.7 + 0.3 * stout),
        waist=0.071 * stout,
        hips=0.056 * hips,
        seat=0.089 * hips * (0.6 + 0.4 * stout),
        hip_height=hip_height,
        knee_height=hip_height + (_ANKLE - hip_height) * (1 - 0.49 * shins),
        upper_arm=0.168 * arms,
        forearm=0.143 * arms,
        arm_width=0.0255 * limbs,
        leg_width=0.0465 * limbs,
    )


def describe(traits: Traits) -> str:
    """Coarse words for a build, such as "tall, broad-shouldered, long-legged"; "" for an average one."""
    said = []
    for name, (less, more) in _WORDS.items():
        value = traits[TRAITS.index(name)]
        if abs(value) > _CLEAR:
            said.append(more if value > 0 else less)
    return ", ".join(said)

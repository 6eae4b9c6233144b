"""The drawn people: proportions, skin, hair and wardrobe, which are the same on all photos of a person."""

from dataclasses import dataclass

import numpy as np

from small_world.flat.paint import Colour

_NAMES = (12, 22)  # how many first and last names people once had: drawn still, so that everybody stays as they were
CLOTHES: dict[str, Colour] = {
    "red": (0.74, 0.12, 0.13), "blue": (0.16, 0.27, 0.66), "green": (0.13, 0.47, 0.24), "black": (0.10, 0.10, 0.11),
    "white": (0.88, 0.88, 0.86), "grey": (0.48, 0.48, 0.50), "yellow": (0.87, 0.72, 0.16), "pink": (0.88, 0.50, 0.62),
    "purple": (0.43, 0.20, 0.55), "orange": (0.87, 0.43, 0.12), "brown": (0.40, 0.25, 0.15),
    "turquoise": (0.15, 0.58, 0.60), "navy": (0.10, 0.13, 0.30), "beige": (0.76, 0.66, 0.51),
}  # fmt: skip
_BOTTOMS = ("black", "blue", "navy", "grey", "brown", "beige", "white", "green", "red")
HAIR: dict[str, Colour] = {
    "black": (0.09, 0.08, 0.08), "brown": (0.27, 0.16, 0.09), "blond": (0.76, 0.60, 0.33), "red": (0.50, 0.20, 0.08),
    "grey": (0.55, 0.54, 0.53),
}  # fmt: skip
SKINS: tuple[Colour, ...] = (
    (0.93, 0.75, 0.65), (0.90, 0.70, 0.57), (0.84, 0.63, 0.49), (0.75, 0.54, 0.40), (0.62, 0.42, 0.30),
    (0.50, 0.33, 0.24),
)  # fmt: skip
_EYES: tuple[Colour, ...] = ((0.25, 0.15, 0.09), (0.22, 0.36, 0.50), (0.24, 0.36, 0.22), (0.35, 0.25, 0.12))


@dataclass(frozen=True)
class Build:
    """Lengths (from joint to joint) and half-widths, as fractions of the stature."""

    head: float
    head_width: float  # of the head's height
    shoulders: float
    chest: float
    waist: float
    hips: float  # between the hip joints
    seat: float  # outline at the hips
    hip_height: float  # from the crown down
    knee_height: float
    upper_arm: float
    forearm: float
    arm_width: float
    leg_width: float


@dataclass(frozen=True)
class Outfit:
    """An outfit: colour names, sleeves "long", "short" or "none", legs "trousers", "shorts" or "skirt"."""

    top: str
    bottom: str
    sleeves: str
    legs: str
    shoes: Colour


@dataclass(frozen=True)
class Person:
    """One drawn person."""

    build: Build
    skin: Colour
    eyes: Colour
    lips: Colour
    hair: str  # colour name
    haircut: str  # "short", "crop", "bob", "long", "bun" or "curly"
    beard: bool
    outfits: tuple[Outfit, ...]


def draw_person(seed: int) -> Person:
    """Skin, hair, wardrobe and build of a woman, the same for a seed; the world replaces what differs for a man."""
    rng = np.random.default_rng((seed, 0, 0))
    for count in _NAMES:
        rng.integers(count)
    skin = SKINS[int(rng.integers(len(SKINS)))]
    lip = rng.uniform(0.62, 0.8)
    return Person(
        build=_build(rng),
        skin=skin,
        eyes=_EYES[int(rng.integers(len(_EYES)))],
        lips=(skin[0] * 0.92, skin[1] * lip * 0.82, skin[2] * lip * 0.9),
        hair=str(rng.choice(list(HAIR), p=(0.28, 0.32, 0.2, 0.12, 0.08))),
        haircut=str(rng.choice(("bob", "long", "bun", "curly", "long"))),
        beard=False,
        outfits=tuple(draw_outfit(rng, woman=True) for _ in range(4)),
    )


def _build(rng: np.random.Generator) -> Build:
    """Approximate proportions of adults: the head is 1/7.6 of the stature, the hips are half-way."""
    stout = rng.uniform(0.88, 1.25)
    shoulders = rng.uniform(0.098, 0.108)
    hip_height = rng.uniform(0.475, 0.505)
    return Build(
        head=rng.uniform(0.128, 0.140),
        head_width=rng.uniform(0.68, 0.76),
        shoulders=shoulders,
        chest=shoulders * 0.80 * (0.85 + 0.15 * stout),
        waist=0.064 * stout,
        hips=rng.uniform(0.052, 0.060),
        seat=0.094 * (0.7 + 0.3 * stout),
        hip_height=hip_height,
        knee_height=hip_height + rng.uniform(0.228, 0.246),
        upper_arm=rng.uniform(0.158, 0.178),
        forearm=rng.uniform(0.135, 0.150),
        arm_width=0.023 * (0.6 + 0.4 * stout),
        leg_width=0.046 * (0.6 + 0.4 * stout),
    )


def draw_outfit(rng: np.random.Generator, woman: bool) -> Outfit:
    """A random outfit for a woman or a man; trousers never have the colour of the top."""
    top = str(rng.choice(list(CLOTHES)))
    bottom = str(rng.choice([name for name in _BOTTOMS if name != top]))
    legs = ("trousers", "trousers", "skirt", "shorts") if woman else ("trousers", "trousers", "shorts")
    sleeves = ("long", "short", "none") if woman else ("long", "short", "short")
    grey = float(rng.uniform(0.06, 0.75))
    return Outfit(top, bottom, str(rng.choice(sleeves)), str(rng.choice(legs)), (grey, grey * 0.9, grey * 0.82))

"""A made-up adult by seed: body, skin, hair and face, which are the same on all photos."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import numpy as np

from bolid_data.synthetic.body import ADULT, Floats, Rest, body_model
from bolid_data.synthetic.limbs import lengthen
from bolid_data.synthetic.measures import Measures, bmi_of, measure, stature_of

Colour = tuple[float, float, float]
"""sRGB, 0 to 1."""

STATURE = {"man": (1.755, 0.071), "woman": (1.622, 0.066)}
"""Metres, mean and standard deviation, chosen near measured adults of the United States and of England; without the
differences between generations. `benchmarks/results/synthetic_population.md` compares and cites."""
BMI = {"man": (25.6, 0.155), "woman": (24.8, 0.185)}
"""kg/m²: median, and standard deviation of the logarithm, chosen between the world's adults and England's: slimmer and
less varied than adults of the United States."""
BMI_RANGE = (17.5, 42.0)
_HEAVIEST = 1.4  # of the phenotype weight, whose own range ends below the BMI of many adults
_STATURE_SPREAD = 2.5  # standard deviations; farther out bodies are drawn again
_LIMBS, _MOST_LIMBS = 0.06, 2.0  # the deviation of the lengths of arms and legs for a variety of 2; most deviations

HAIR: dict[str, Colour] = {
    "black": (0.10, 0.085, 0.08), "brown": (0.30, 0.19, 0.115), "blond": (0.74, 0.58, 0.36), "red": (0.54, 0.24, 0.11),
    "grey": (0.62, 0.61, 0.60),
}  # fmt: skip
HAIRCUTS = ("bald", "crop", "short", "curly", "bob", "long", "ponytail", "bun", "afro")
_CUTS = {
    "man": {"bald": 0.08, "crop": 0.24, "short": 0.36, "curly": 0.12, "afro": 0.06, "bob": 0.05, "long": 0.05,
            "bun": 0.04},
    "woman": {"crop": 0.05, "short": 0.12, "curly": 0.1, "afro": 0.06, "bob": 0.2, "long": 0.25, "ponytail": 0.12,
              "bun": 0.1},
}  # fmt: skip
SKINS: tuple[Colour, ...] = (
    (0.93, 0.77, 0.68), (0.90, 0.71, 0.59), (0.84, 0.64, 0.51), (0.74, 0.54, 0.41), (0.60, 0.42, 0.31),
    (0.46, 0.31, 0.23), (0.35, 0.23, 0.17),
)  # fmt: skip
_EYES: tuple[Colour, ...] = (
    (0.25, 0.15, 0.09),
    (0.30, 0.18, 0.09),
    (0.32, 0.45, 0.56),
    (0.33, 0.42, 0.28),
    (0.42, 0.31, 0.16),
)
_GREY_FROM = 42.0  # years


@dataclass(frozen=True)
class Person:
    """One made-up adult. Colours are independent of the body; hair greys with age."""

    seed: tuple[int, ...]
    sex: str  # "man" or "woman"
    years: float
    phenotypes: tuple[tuple[str, float], ...]
    skin: Colour
    eyes: Colour
    lips: Colour
    hair: str  # name of `HAIR`
    haircut: str  # of `HAIRCUTS`
    beard: str  # "none", "stubble" or "full"
    glasses: bool
    arms: float = 1.0  # their length, as a share of that which the phenotypes give
    legs: float = 1.0

    @cached_property
    def rest(self) -> Rest:
        """The body in its rest pose."""
        rest = body_model().rest(dict(self.phenotypes))
        return rest if self.arms == self.legs == 1 else lengthen(rest, self.arms, self.legs)

    @cached_property
    def measures(self) -> Measures:
        """What the body measures, without clothes."""
        return measure(self.rest)

    @cached_property
    def joints(self) -> Floats:
        """(17, 3) COCO's keypoints in the rest pose."""
        return body_model().keypoints(self.rest.vertices)


class Appearance(TypedDict):
    """The fields of a Person that are independent of the body, but for sex and age."""

    skin: Colour
    eyes: Colour
    lips: Colour
    hair: str
    haircut: str
    beard: str
    glasses: bool


def draw_person(seed: int, index: int, variety: float = 1.0) -> Person:
    """The person `index` of a seed; the same arguments always give the same person.

    `variety`: how many times as widely bodies vary as those of adults do. Above 1, the lengths of arms and legs vary
    by themselves, too.
    """
    rng = np.random.default_rng((seed, index, 0))
    sex = "woman" if index % 2 == 0 else "man"
    years = float(rng.uniform(*ADULT))
    phenotypes = _phenotypes(rng, sex, years, variety)
    appearance = draw_appearance(rng, sex, years)
    limbs = rng.normal(size=2).clip(-_MOST_LIMBS, _MOST_LIMBS)
    arms, legs = (1 + (variety - 1) * _LIMBS * limbs).tolist()
    return Person((seed, index), sex, years, tuple(phenotypes.items()), **appearance, arms=arms, legs=legs)


def draw_appearance(rng: np.random.Generator, sex: str, years: float) -> Appearance:
    """All of a person of this sex and age that does not depend on the body."""
    skin = _skin(rng)
    cuts = _CUTS[sex]
    hair = str(rng.choice(list(HAIR), p=(0.3, 0.34, 0.18, 0.1, 0.08)))
    if rng.random() < np.interp(years, (_GREY_FROM, ADULT[1]), (0.05, 0.75)):
        hair = "grey"
    red = rng.uniform(0.66, 0.82) if sex == "woman" else rng.uniform(0.78, 0.88)
    return Appearance(
        skin=skin,
        eyes=_EYES[int(rng.integers(len(_EYES)))],
        lips=(skin[0] * 0.94, skin[1] * red * 0.9, skin[2] * red * 0.95),
        hair=hair,
        haircut=str(rng.choice(list(cuts), p=np.array(list(cuts.values())) / sum(cuts.values()))),
        beard=str(rng.choice(["none", "stubble", "full"], p=(0.55, 0.25, 0.2))) if sex == "man" else "none",
        glasses=bool(rng.random() < 0.2),
    )


def _skin(rng: np.random.Generator) -> Colour:
    """A tone between two neighbours of the table."""
    place = rng.uniform(0, len(SKINS) - 1)
    low = SKINS[int(place)]
    high = SKINS[min(int(place) + 1, len(SKINS) - 1)]
    share = place % 1
    r, g, b = (float(x * (1 - share) + y * share + rng.normal(0, 0.008)) for x, y in zip(low, high, strict=True))
    return r, g, b


def _phenotypes(rng: np.random.Generator, sex: str, years: float, variety: float) -> dict[str, float]:
    """Phenotypes of an adult of this sex and age, with stature and BMI from the distributions above.

    Muscle and proportions follow anny's Beta distributions by age, calibrated to WHO data; height and weight are then
    solved for, because anny's own give adults too thin and too widely spread in stature.
    """
    body = body_model()
    age = float(np.interp(years, body["age_years"], body["age_anchors"]))

    def trait(name: str) -> float:
        alpha, beta = body["trait_betas"][int(sex == "woman"), body.names["traits"].index(name)]
        return float(rng.beta(*(np.interp(age, body["age_anchors"], values) for values in (alpha, beta))))

    values = {
        "gender": float(rng.uniform(0.8, 1.0) if sex == "woman" else rng.uniform(0.0, 0.2)),
        "age": age,
        "muscle": 0.5 + 0.7 * (trait("muscle") - 0.5),
        "proportions": trait("proportions"),
        "cupsize": float(rng.beta(2, 2)),
        "firmness": float(rng.uniform(0.2, 0.8)),
        **dict(zip(("african", "asian", "caucasian"), rng.dirichlet((0.6, 0.6, 0.6)).tolist(), strict=True)),
        "height": 0.5,
        "weight": 0.5,
    }
    values["proportions"] += (variety - 1) * (values["proportions"] - 0.5)
    spread = np.clip(rng.normal(), -_STATURE_SPREAD, _STATURE_SPREAD)
    stature = STATURE[sex][0] + STATURE[sex][1] * spread
    bmi = float(np.clip(BMI[sex][0] * np.exp(variety * BMI[sex][1] * rng.normal()), *BMI_RANGE))
    for _ in range(2):  # each moves the other a little
        values["height"] = _solve(values, "height", stature, stature_of)
        values["weight"] = _solve(values, "weight", bmi, bmi_of, _HEAVIEST)
    return values


def _solve(
    values: dict[str, float], name: str, target: float, measure_of: Callable[[Floats], float], most: float = 1.0
) -> float:
    """The phenotype at which a measure that rises with it has a target; an end of its range where none does."""
    places = np.linspace(0, most, 6)
    found = [measure_of(body_model().rest_vertices({**values, name: float(place)})) for place in places]
    return float(np.interp(target, np.maximum.accumulate(found), places))

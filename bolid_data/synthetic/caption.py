"""A photo's description in words, with and without the build."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.figure import Figure
from bolid_data.synthetic.looks import Look

FRAMING = {"full": "full-body", "knees_up": "knees-up", "waist_up": "waist-up", "bust": "head-and-shoulders"}
PLACE = {
    "studio": "in a studio", "room": "in a room", "garden": "in a garden", "sea": "by the sea", "street": "on a street",
}  # fmt: skip
FACING = ("from the front", "from the side", "from behind")
HEIGHTS, WEIGHTS = ("short", "", "tall"), ("slim", "", "stout")
_HEIGHT_CUTS = {"man": (1.69, 1.82), "woman": (1.56, 1.69)}
_BMI_CUTS = (21.0, 29.0)
_FULL_SLEEVE = 1.3
_ARMS = {
    "on hips": "hands on the hips", "in pockets": "hands at the pockets", "behind the back": "hands behind the back",
    "clasped": "hands clasped", "on knees": "hands on the knees", "waving": "one arm raised",
}  # fmt: skip


@dataclass(frozen=True)
class Description:
    """The words of a caption; `bottom` and `legs` are "" where the photo ends above them or a dress hides them."""

    framing: str
    facing: str
    build: str  # "", "tall", "short and stout" …
    hair: str
    sleeves: str
    top: str
    garment: str
    bottom: str
    legs: str
    stance: str
    arms: str
    place: str

    def sentence(self, build: bool) -> str:
        """The caption, with or without the build."""
        person = f"a {self.build} person" if build and self.build else "a person"
        sleeves = f"{self.sleeves} " if self.sleeves else ""
        legs = f" and {'a ' if self.legs == 'skirt' else ''}{self.bottom} {self.legs}" if self.legs else ""
        return (
            f"a {self.framing} photo of {person} {self.facing}, with {self.hair} hair, "
            f"in a {sleeves}{self.top} {self.garment}{legs}, {self.stance}, {self.arms}, {self.place}"
        )


def describe(made: Figure, framing: str, place: str, yaw: float) -> Description:
    """The description of one person on a photo."""
    look = made.look
    top = look.tops[-1]
    shown = framing in ("full", "knees_up") or (
        framing == "waist_up" and look.bottom is not None and look.bottom.kind == "skirt"
    )
    legs = look.bottom if shown and top.skirt is None else None
    turn = abs((yaw + 180) % 360 - 180)
    sleeved = top.kind in ("t-shirt", "shirt", "dress")
    return Description(
        framing=FRAMING[framing],
        facing=FACING[int(turn > 55) + int(turn > 125)],
        build=_build(made),
        hair="no" if made.person.haircut == "bald" else made.person.hair,
        sleeves=_sleeves(top.sleeve) if sleeved else "",
        top=_colour(look, top.material),
        garment=top.kind,
        bottom=_colour(look, "bottom") if legs else "",
        legs=legs.kind if legs else "",
        stance={"contrapposto": "standing"}.get(made.stand.pose.stance, made.stand.pose.stance),
        arms=_arms(made.stand.pose.arms),
        place=PLACE[place],
    )  # fmt: skip


def _build(made: Figure) -> str:
    measures = made.person.measures
    height = HEIGHTS[int(np.searchsorted(_HEIGHT_CUTS[made.person.sex], measures.stature))]
    weight = WEIGHTS[int(np.searchsorted(_BMI_CUTS, measures.bmi))]
    return " and ".join(word for word in (height, weight) if word)


def _arms(name: str) -> str:
    return f"arms {name}" if name in ("down", "raised", "folded", "spread", "swinging") else _ARMS.get(name, name)


def _sleeves(length: float) -> str:
    return "long-sleeved" if length > _FULL_SLEEVE else "short-sleeved" if length > 0 else "sleeveless"


def _colour(look: Look, material: str) -> str:
    return look.cloth[material].colour

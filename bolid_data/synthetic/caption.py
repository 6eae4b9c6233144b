"""A photo's description in words, with and without the build. What a photo does not show is not said."""

import re
from dataclasses import dataclass, fields

import numpy as np

from bolid_data.synthetic.figure import Figure
from bolid_data.synthetic.looks import BOTTOMS, CLOTHES, Look
from bolid_data.synthetic.people import HAIR

FRAMING = {"full": "full-body", "knees_up": "knees-up", "waist_up": "waist-up", "bust": "head-and-shoulders"}
PLACE = {
    "studio": "in a studio", "room": "in a room", "garden": "in a garden", "sea": "by the sea", "street": "on a street",
}  # fmt: skip
FACING = ("from the front", "from the side", "from behind")
HEIGHTS, WEIGHTS = ("short", "", "tall"), ("slim", "", "stout")
SLEEVES = ("long-sleeved", "short-sleeved", "sleeveless")
GARMENTS = ("top", "jacket", "coat", "dress")
LEGS = ("trousers", "shorts", "skirt")
STANCE = {
    "standing": "standing", "contrapposto": "standing", "walking": "walking", "sitting": "sitting",
    "leaning": "leaning", "lunging": "lunging",
}  # fmt: skip
ARMS = {
    "down": "arms down", "swinging": "arms down", "in pockets": "arms down", "raised": "arms raised",
    "on hips": "hands on the hips", "folded": "arms folded", "spread": "arms spread", "waving": "one arm raised",
    "behind the back": "hands behind the back", "one hand on the hip": "one hand on the hip",
    "holding a phone": "one hand held up", "hand at the chin": "one hand held up", "clasped": "hands clasped",
    "on knees": "hands on the knees",
}  # fmt: skip
_BEFORE_THE_BODY = {"folded", "holding a phone", "hand at the chin", "clasped", "on knees"}
_ABOVE_THE_CHEST = {"raised", "spread", "waving", "holding a phone", "hand at the chin"}
_HEIGHT_CUTS = {"man": (1.69, 1.82), "woman": (1.56, 1.69)}
_BMI_CUTS = (21.0, 29.0)
_FULL_SLEEVE = 1.3


@dataclass(frozen=True)
class Description:
    """The words of a caption; "" for what the photo does not show, and for what the caption leaves out."""

    framing: str
    facing: str
    build: str  # "", "tall", "short and stout" …
    hair: str  # "no" if bald, "" under a hat
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
        lower = _join(self.bottom, self.legs)
        clothes = [
            _with_article(_join(self.sleeves, self.top, self.garment)),
            _with_article(lower) if self.legs == "skirt" else lower,
        ]
        worn = " and ".join(filter(None, clothes))
        parts = [
            _join(_with_article(_join(self.framing, "photo")), "of", person, self.facing),
            f"with {self.hair} hair" if self.hair else "",
            f"in {worn}" if worn else "",
            self.stance,
            self.arms,
            self.place,
        ]
        return ", ".join(filter(None, parts))


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}" if words else ""


ATTRIBUTES = tuple(field.name for field in fields(Description) if field.name != "build")
"""What a sentence without the build says, in its order."""
WORDS: dict[str, tuple[str, ...]] = {
    "framing": tuple(FRAMING.values()),
    "facing": FACING,
    "hair": (*HAIR, "no"),
    "sleeves": SLEEVES,
    "top": tuple(CLOTHES),
    "garment": GARMENTS,
    "bottom": BOTTOMS,
    "legs": LEGS,
    "stance": tuple(dict.fromkeys(STANCE.values())),
    "arms": tuple(dict.fromkeys(ARMS.values())),
    "place": tuple(PLACE.values()),
}
"""The values of each attribute; hair, sleeves, bottom, legs, stance and arms may also be ""."""


def _one_of(name: str) -> str:
    return rf"(?P<{name}>{'|'.join(WORDS[name])})"


_SENTENCE = re.compile(
    rf"a {_one_of('framing')} photo of a (?:(?P<build>\w+(?: and \w+)?) )?person {_one_of('facing')}"
    rf"(?:, with {_one_of('hair')} hair)?, in an? (?:{_one_of('sleeves')} )?{_one_of('top')} {_one_of('garment')}"
    rf"(?: and (?:a )?{_one_of('bottom')} {_one_of('legs')})?(?:, {_one_of('stance')})?(?:, {_one_of('arms')})?"
    rf", {_one_of('place')}"
)


def read(caption: str) -> Description | None:
    """Parses a caption of this form, with or without the build; None for any other text."""
    match = _SENTENCE.fullmatch(caption)
    return match and Description(**match.groupdict(default=""))


def describe(figure: Figure, framing: str, place: str, yaw: float) -> Description:
    """The description of one person on a photo."""
    look, pose = figure.look, figure.stand.pose
    top = look.tops[-1]
    legs_shown = framing in ("full", "knees_up")
    skirted = look.bottom is not None and look.bottom.kind == "skirt"
    legs = look.bottom if (legs_shown or (framing == "waist_up" and skirted)) and top.skirt is None else None
    turn = abs((yaw + 180) % 360 - 180)
    facing = FACING[int(turn > 55) + int(turn > 125)]
    garment = _garment(top.kind, legs_shown)
    return Description(
        framing=FRAMING[framing],
        facing=facing,
        build=_build(figure),
        hair=_hair(figure),
        sleeves=_sleeves(top.sleeve) if garment in ("top", "dress") else "",
        top=_colour(look, top.material),
        garment=garment,
        bottom=_colour(look, "bottom") if legs else "",
        legs=("trousers" if legs.kind == "jeans" else legs.kind) if legs else "",
        stance=STANCE[pose.stance] if legs_shown else "",
        arms=_arms(pose.arms, framing, facing),
        place=PLACE[place],
    )


def _build(figure: Figure) -> str:
    measures = figure.person.measures
    height = HEIGHTS[int(np.searchsorted(_HEIGHT_CUTS[figure.person.sex], measures.stature))]
    weight = WEIGHTS[int(np.searchsorted(_BMI_CUTS, measures.bmi))]
    return " and ".join(word for word in (height, weight) if word)


def _hair(figure: Figure) -> str:
    if figure.look.hat != "none":
        return ""
    return "no" if figure.person.haircut == "bald" else figure.person.hair


def _garment(kind: str, legs_shown: bool) -> str:
    """A word of GARMENTS; down to the waist, a coat looks like a jacket, and a dress like a top."""
    if kind in ("jacket", "coat"):
        return kind if legs_shown else "jacket"
    return "dress" if kind == "dress" and legs_shown else "top"


def _arms(name: str, framing: str, facing: str) -> str:
    hidden = (framing == "bust" and name not in _ABOVE_THE_CHEST) or (
        facing == "from behind" and name in _BEFORE_THE_BODY
    )
    return "" if hidden else ARMS[name]


def _sleeves(length: float) -> str:
    return "long-sleeved" if length > _FULL_SLEEVE else "short-sleeved" if length > 0 else "sleeveless"


def _colour(look: Look, material: str) -> str:
    return look.cloth[material].colour

"""Two captions of a drawn photo: one without a word on the build, which the base is trained on, and one with."""

from dataclasses import dataclass, fields

from small_world.flat.description import ARMS, FRAMING, LEGS, SCENE, SLEEVES
from small_world.flat.people import CLOTHES, HAIR

SKIN = ("pale", "tan", "dark")
HAIRCUT = {"short": "short", "crop": "cropped", "bob": "bobbed", "long": "long", "bun": "tied", "curly": "curly"}


@dataclass(frozen=True)
class Caption:
    """What can be said of a photo; "" is not said. `bottom` and `legs` are "" where the photo ends above them."""

    framing: str
    skin: str
    haircut: str
    hair: str
    sleeves: str
    top: str
    bottom: str
    legs: str
    arms: str
    background: str

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, build: str = "") -> str:
        """The caption, with a build's words where they are given."""
        hair = _join(self.haircut, self.hair, "hair") if self.haircut or self.hair else ""
        looks = [part for part in (self.skin and f"{self.skin} skin", hair) if part]
        person = _with_article(_join(build, "person")) + (f" with {' and '.join(looks)}" if looks else "")
        legs = _join(self.bottom, self.legs)
        worn = [
            _with_article(_join(self.sleeves, self.top, "top")) if self.sleeves or self.top else "",
            _with_article(legs) if self.legs == "skirt" else legs,
        ]
        clothes = " and ".join(part for part in worn if part)
        parts = [
            f"{_with_article(_join(self.framing, 'photo'))} of {person}", clothes and f"in {clothes}", self.arms,
            self.background,
        ]  # fmt: skip
        return ", ".join(part for part in parts if part)


ATTRIBUTES = tuple(field.name for field in fields(Caption))
WORDS: dict[str, tuple[str, ...]] = {
    "framing": tuple(FRAMING.values()),
    "skin": SKIN,
    "haircut": tuple(HAIRCUT.values()),
    "hair": tuple(HAIR),
    "sleeves": tuple(SLEEVES.values()),
    "top": tuple(CLOTHES),
    "bottom": (*CLOTHES, ""),
    "legs": (*LEGS, ""),
    "arms": tuple(ARMS.values()),
    "background": tuple(SCENE.values()),
}
"""What each attribute may be."""


def to_labels(caption: Caption) -> list[int]:
    """Class numbers in the order of `ATTRIBUTES`."""
    return [WORDS[name].index(getattr(caption, name)) for name in ATTRIBUTES]


def from_labels(labels: list[int]) -> Caption:
    """The caption that these class numbers, in the order of `ATTRIBUTES`, stand for."""
    return Caption(**{name: WORDS[name][label] for name, label in zip(ATTRIBUTES, labels, strict=True)})


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

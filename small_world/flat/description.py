"""The true description of a drawn photo: one sentence, and its vocabulary."""

import re
from dataclasses import dataclass, fields

from small_world.flat.people import CLOTHES, HAIR

FRAMING = {"full": "full-body", "knees_up": "knees-up", "bust": "waist-up"}
SLEEVES = {"long": "long-sleeved", "short": "short-sleeved", "none": "sleeveless"}
LEGS = ("trousers", "shorts", "skirt")
ARMS = {
    "down": "arms down", "raised": "arms raised", "on hips": "hands on the hips", "folded": "arms folded",
    "spread": "arms spread", "waving": "one arm raised",
}  # fmt: skip
SCENE = {
    "studio": "in a studio", "room": "in a room", "garden": "in a garden", "sea": "by the sea", "street": "on a street",
}  # fmt: skip


@dataclass(frozen=True)
class Description:
    """The attributes in a caption, as its words; `bottom` and `legs` are "" where the photo ends above them."""

    framing: str
    hair: str
    sleeves: str
    top: str
    bottom: str
    legs: str
    arms: str
    background: str

    def __str__(self) -> str:
        legs = f" and {'a ' if self.legs == 'skirt' else ''}{self.bottom} {self.legs}" if self.legs else ""
        return (
            f"a {self.framing} photo of a person with {self.hair} hair, in a {self.sleeves} {self.top} top{legs}, "
            f"{self.arms}, {self.background}"
        )

    def words(self) -> list[str]:
        """The words of the sentence, without commas."""
        return str(self).replace(",", "").split()


ATTRIBUTES = tuple(field.name for field in fields(Description))
WORDS: dict[str, tuple[str, ...]] = {
    "framing": tuple(FRAMING.values()),
    "hair": tuple(HAIR),
    "sleeves": tuple(SLEEVES.values()),
    "top": tuple(CLOTHES),
    "bottom": tuple(CLOTHES),
    "legs": LEGS,
    "arms": tuple(ARMS.values()),
    "background": tuple(SCENE.values()),
}
"""The values of each attribute; the last four but the background may also be ""."""
_SENTENCE = re.compile(
    r"a (?P<framing>\S+) photo of a person with (?P<hair>\S+) hair, in a (?P<sleeves>\S+) (?P<top>\S+) top"
    r"(?: and (?:a )?(?P<bottom>\S+) (?P<legs>\w+))?, (?P<arms>[^,]+), (?P<background>[^,]+)"
)


def read(caption: str) -> Description | None:
    """Parses a caption of this form; None for any other text."""
    match = _SENTENCE.fullmatch(caption)
    return match and Description(**match.groupdict(default=""))

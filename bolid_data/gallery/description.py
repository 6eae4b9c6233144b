"""What is true of a drawn photo, in words: one sentence, and the words that may stand in it."""

import re
from dataclasses import dataclass, fields

from bolid_data.gallery.people import CLOTHES, HAIR

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
    """What a caption says, in its own words; `bottom` and `legs` are "" where the photo ends above them."""

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
        """Its words, without the commas between them."""
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
"""What each attribute may be; the last four but the background may also be ""."""
_SENTENCE = re.compile(
    r"a (?P<framing>\S+) photo of a person with (?P<hair>\S+) hair, in a (?P<sleeves>\S+) (?P<top>\S+) top"
    r"(?: and (?:a )?(?P<bottom>\S+) (?P<legs>\w+))?, (?P<arms>[^,]+), (?P<background>[^,]+)"
)


def read(caption: str) -> Description | None:
    """The description that a caption is the sentence of; None for any other text."""
    found = _SENTENCE.fullmatch(caption)
    return found and Description(**found.groupdict(default=""))

"""What may be worn in a set, and where its people may stand."""

from dataclasses import dataclass, replace

import numpy as np

from bolid_data.synthetic.body import ADULT
from bolid_data.synthetic.looks import CLOTHES, LEGS, PATTERNS, TOPS, Look, draw_look
from bolid_data.synthetic.people import Person, draw_appearance
from bolid_data.synthetic.place import PLACES

_WOMEN_ONLY = {"dress", "skirt"}
_PLAIN = {"plain", "denim"}  # without a second colour


@dataclass(frozen=True)
class Style:
    """Kinds of tops and bottoms, the colours and patterns of everything worn but shoes, and places."""

    tops: tuple[str, ...] = TOPS
    legs: tuple[str, ...] = LEGS
    colours: tuple[str, ...] = tuple(CLOTHES)
    patterns: tuple[str, ...] = (*PATTERNS, "denim")
    places: tuple[str, ...] = PLACES

    def allows(self, look: Look) -> bool:
        """Whether all that is worn is of this style; the kind of the top under an open jacket does not matter."""
        return (
            look.tops[-1].kind in self.tops
            and (look.bottom is None or look.bottom.kind in self.legs)
            and {look.cloth[name].pattern for name in _worn_cloths(look)} <= set(self.patterns)
            and _worn_colours(look) <= set(self.colours)
        )


def draw_look_of(style: Style, rng: np.random.Generator, woman: bool) -> Look:
    """A look of the style, every kind of top and bottom equally often, and half of the tops plain."""
    tops, legs = ([kind for kind in kinds if woman or kind not in _WOMEN_ONLY] for kinds in (style.tops, style.legs))
    top, lower = str(rng.choice(tops)), str(rng.choice(legs))
    patterns = [name for name in style.patterns if name not in _PLAIN]
    pattern = "plain" if rng.random() < 0.5 else str(rng.choice(patterns))
    while True:  # a look takes 0.3 ms
        look = draw_look(rng, woman, top, lower, pattern=pattern)
        if style.allows(look):
            return look


def change_appearance(person: Person, rng: np.random.Generator) -> Person:
    """The same body with other skin, eyes, hair, beard and glasses. The age that grey hair comes with is drawn too, so
    that the hair does not tell the body's age."""
    return replace(person, **draw_appearance(rng, person.sex, float(rng.uniform(*ADULT))))


def _worn_cloths(look: Look) -> set[str]:
    return {top.material for top in look.tops} | ({look.bottom.material} if look.bottom else set())


def _worn_colours(look: Look) -> set[str]:
    cloths = [look.cloth[name] for name in _worn_cloths(look)]
    colours = {cloth.colour for cloth in cloths} | {cloth.second for cloth in cloths if cloth.pattern not in _PLAIN}
    colours |= {look.hat_colour} if look.hat != "none" else set()
    return colours | ({look.bag_colour} if look.bag != "none" else set())

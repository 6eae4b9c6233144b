"""The gallery's people: names, and a wardrobe each; the same on every drawing of a seed."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from bolid_data.synthetic.looks import Look, draw_look
from bolid_data.synthetic.people import Person, draw_person

_FIRST = (
    "anna", "maria", "lena", "sofia", "nina", "clara", "irina", "emma", "julia", "vera", "alice", "rosa",
    "tom", "mark", "oleg", "david", "ivan", "paul", "leo", "max", "felix", "anton", "viktor", "simon",
)  # fmt: skip
_LAST = (
    "berg", "hardy", "lindqvist", "moreau", "petrova", "castell", "novak", "keller", "santoro", "haas", "orlova",
    "winter", "fontaine", "ivanova", "marsh", "duval", "larsen", "rossi", "becker", "volkov", "stone", "vidal",
)  # fmt: skip
_OUTFITS = 5

_draw_person = lru_cache(maxsize=8)(draw_person)  # a worker draws many photos of few people


@dataclass(frozen=True)
class Member:
    """One of the gallery's people; the body is drawn when it is needed, so that processes pass few bytes."""

    slug: str
    seed: int
    index: int

    @property
    def person(self) -> Person:
        return _draw_person(self.seed, self.index)

    @cached_property
    def wardrobe(self) -> tuple[Look, ...]:
        """What the person wears on photos."""
        rng = np.random.default_rng((self.seed, self.index, 4))
        return tuple(draw_look(rng, self.person.sex == "woman") for _ in range(_OUTFITS))


def draw_cast(count: int, seed: int) -> list[Member]:
    """`count` distinct people, the same for the same seed; a larger count only adds people."""
    cast: dict[str, Member] = {}
    for index in range(count):
        rng = np.random.default_rng((seed, index, 0))
        first = str(rng.choice(_FIRST[:12] if index % 2 == 0 else _FIRST[12:]))  # women have even numbers
        member = Member(f"{first}_{rng.choice(_LAST)}", seed, index)
        while member.slug in cast:  # the name is taken
            member = replace(member, slug=f"{member.slug}_{index + 1}")
        cast[member.slug] = member
    return list(cast.values())

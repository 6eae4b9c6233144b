"""Looks: what a person wears on a photo. Colours, patterns and lengths are independent of the body; dresses and skirts
are worn by women."""

from dataclasses import dataclass, replace

import numpy as np

from bolid_data.synthetic.people import Colour

CLOTHES: dict[str, Colour] = {
    "red": (0.74, 0.13, 0.14), "blue": (0.18, 0.32, 0.70), "green": (0.17, 0.49, 0.27), "black": (0.11, 0.11, 0.12),
    "white": (0.90, 0.90, 0.88), "grey": (0.52, 0.52, 0.54), "yellow": (0.88, 0.74, 0.22), "pink": (0.89, 0.55, 0.66),
    "purple": (0.45, 0.24, 0.58), "orange": (0.88, 0.46, 0.16), "brown": (0.42, 0.28, 0.19),
    "turquoise": (0.19, 0.60, 0.62), "navy": (0.12, 0.16, 0.33), "beige": (0.79, 0.70, 0.56),
}  # fmt: skip
BOTTOMS = ("black", "blue", "navy", "grey", "brown", "beige", "white", "green", "red")
PATTERNS = ("plain", "stripes", "checks", "dots", "melange", "print", "blocks")
TOPS = ("t-shirt", "long-sleeved top", "sleeveless top", "shirt", "sweater", "jacket", "coat", "dress")
LEGS = ("trousers", "jeans", "shorts", "skirt")
SHOES = ("shoes", "trainers", "boots")
HATS = ("none", "beanie", "cap")
BAGS = ("none", "backpack", "shoulder bag")


@dataclass(frozen=True)
class Top:
    """A garment of the upper body; heights are those of the mean adult, metres."""

    kind: str
    material: str  # key of `Look.cloths`
    sleeve: float  # 0 none, 1 to the elbow, 2 to the wrist
    hem: float
    neck: str  # "crew", "v", "scoop" or "high"
    thickness: float
    loose: float
    smooth: int
    collar: bool = False
    front: float = 0.0  # half-width of an open front
    skirt: float | None = None  # the hem of a dress or coat, lofted below its waist
    flare: float = 0.0


@dataclass(frozen=True)
class Bottom:
    """Trousers, jeans, shorts or a skirt."""

    kind: str
    material: str
    hem: float
    width: float = 0.01
    flare: float = 0.0


@dataclass(frozen=True)
class Shoes:
    kind: str
    colour: Colour
    sole: Colour
    socks: bool


@dataclass(frozen=True)
class Cloth:
    """A fabric."""

    colour: str  # of `CLOTHES`
    pattern: str
    second: str  # the pattern's other colour
    size: float  # of the pattern, metres
    knit: float  # how coarse it looks, 0 to 1


@dataclass(frozen=True)
class Look:
    """All that is worn on a photo."""

    tops: tuple[Top, ...]  # the outermost last
    bottom: Bottom | None  # None below a dress
    cloths: tuple[tuple[str, Cloth], ...]
    shoes: Shoes
    hat: str
    hat_colour: str
    bag: str
    bag_colour: str
    seed: int

    @property
    def has_skirt(self) -> bool:
        """Whether a skirt, dress or coat hangs around the legs."""
        lower = self.bottom is not None and self.bottom.kind == "skirt"
        return lower or any(top.skirt is not None for top in self.tops)

    @property
    def cloth(self) -> dict[str, Cloth]:
        return dict(self.cloths)


def draw_look(
    rng: np.random.Generator, woman: bool, top: str | None = None, legs: str | None = None, hat: str | None = None,
    bag: str | None = None, pattern: str | None = None, shoes: str | None = None,
) -> Look:  # fmt: skip
    """A random look; what is named is fixed."""
    share = {"t-shirt": 0.26, "long-sleeved top": 0.14, "sleeveless top": 0.09, "shirt": 0.14, "sweater": 0.13,
             "jacket": 0.12, "coat": 0.06, "dress": 0.0}  # fmt: skip
    if woman:
        share |= {"dress": 0.14}
    weights = np.array([share[name] for name in TOPS])
    top = top or str(rng.choice(TOPS, p=weights / weights.sum()))
    legs = legs or str(rng.choice(LEGS, p=(0.36, 0.28, 0.16, 0.2) if woman else (0.42, 0.34, 0.24, 0)))
    colour = str(rng.choice(list(CLOTHES)))
    others = [name for name in BOTTOMS if name != colour]
    lower = str(rng.choice(["blue", "navy", "black", "grey"] if legs == "jeans" else others))
    cloths = {
        "top": _cloth(rng, colour, pattern or str(rng.choice(PATTERNS, p=(0.46, 0.14, 0.1, 0.07, 0.08, 0.1, 0.05)))),
        "bottom": _cloth(
            rng, lower, "denim" if legs == "jeans" else str(rng.choice(["plain", "checks"], p=(0.93, 0.07)))
        ),
    }
    tops = [_top(rng, top)]
    if legs == "skirt" and tops[0].skirt is None:  # tucked in, or short
        tops = [replace(tops[0], hem=0.215, loose=0.004)]
    if top in ("jacket", "coat") and tops[0].front > 0:
        inner = str(rng.choice([name for name in CLOTHES if name != colour]))
        cloths["inner"] = _cloth(rng, inner, str(rng.choice(["plain", "stripes"], p=(0.8, 0.2))))
        tops.insert(0, replace(_under(rng), hem=tops[0].hem + 0.01 if legs == "skirt" else 0.1))
    grey = float(rng.uniform(0.05, 0.8))
    warm = float(rng.uniform(0.75, 1.0))
    shoe = shoes or str(rng.choice(SHOES, p=(0.4, 0.42, 0.18)))
    sole = (0.85, 0.85, 0.83) if shoe == "trainers" else (0.09, 0.08, 0.07)
    return Look(
        tops=tuple(tops),
        bottom=None if top == "dress" else _bottom(rng, legs),
        cloths=tuple(cloths.items()),
        shoes=Shoes(shoe, (grey, grey * (1 + warm) / 2, grey * warm), sole, bool(rng.random() < 0.6)),
        hat=hat or str(rng.choice(HATS, p=(0.86, 0.06, 0.08))),
        hat_colour=str(rng.choice(list(CLOTHES))),
        bag=bag or str(rng.choice(BAGS, p=(0.86, 0.07, 0.07))),
        bag_colour=str(rng.choice(list(CLOTHES))),
        seed=int(rng.integers(2**31)),
    )


def _cloth(rng: np.random.Generator, colour: str, pattern: str) -> Cloth:
    light = colour in ("white", "yellow", "beige", "pink")
    seconds = (
        ("navy", "black", "red", "blue", "green", "brown") if light else ("white", "grey", "beige", "yellow", "black")
    )
    second = str(rng.choice([name for name in seconds if name != colour]))
    return Cloth(colour, pattern, second, float(rng.uniform(0.012, 0.05)), float(rng.uniform(0.2, 1)))


def _top(rng: np.random.Generator, kind: str) -> Top:
    """A top of a kind."""

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 2)

    neck = str(rng.choice(["crew", "v", "scoop"], p=(0.6, 0.25, 0.15)))
    hem = between(0.07, 0.17)
    if kind == "t-shirt":
        return Top(kind, "top", between(0.4, 0.75), hem, neck, 0.003, between(0.006, 0.02), 14)
    if kind == "long-sleeved top":
        return Top(kind, "top", 1.93, hem, neck, 0.003, between(0.004, 0.014), 10)
    if kind == "sleeveless top":
        return Top(kind, "top", 0.0, hem, "scoop" if rng.random() < 0.6 else "crew", 0.003, between(0.004, 0.012), 8)
    if kind == "shirt":
        sleeve = 1.95 if rng.random() < 0.7 else between(0.5, 0.8)
        return Top(kind, "top", sleeve, between(0.04, 0.14), "crew", 0.004, between(0.01, 0.022), 18, collar=True)
    if kind == "sweater":
        return Top(
            kind,
            "top",
            1.95,
            between(0.06, 0.14),
            "high" if rng.random() < 0.3 else "crew",
            0.010,
            between(0.01, 0.022),
            20,
        )
    if kind == "jacket":
        front = round(float(rng.uniform(0.03, 0.07)), 3)
        return Top(kind, "top", 1.95, between(0.02, 0.13), "crew", 0.014, between(0.012, 0.02), 24, True, front)
    if kind == "coat":
        return Top(
            kind, "top", 1.95, 0.2, "crew", 0.018, 0.014, 24, True, 0.0, between(-0.42, -0.1), between(0.06, 0.14)
        )
    sleeve = float(rng.choice([0.0, 0.5, 1.0, 1.93]))
    return Top(kind, "top", sleeve, 0.2, neck, 0.003, 0.004, 10, False, 0.0, between(-0.52, -0.18), between(0.08, 0.3))


def _under(rng: np.random.Generator) -> Top:
    """A thin top under a jacket."""
    return Top("t-shirt", "inner", 0.5, round(float(rng.uniform(0.08, 0.16)), 2), "crew", 0.002, 0.004, 14)


def _bottom(rng: np.random.Generator, kind: str) -> Bottom:
    if kind == "skirt":
        return Bottom(
            kind, "bottom", round(float(rng.uniform(-0.52, -0.16)), 2), flare=round(float(rng.uniform(0.03, 0.28)), 2)
        )
    if kind == "shorts":
        return Bottom(
            kind, "bottom", round(float(rng.uniform(-0.30, -0.14)), 2), width=round(float(rng.uniform(0.02, 0.05)), 3)
        )
    width = rng.uniform(0.004, 0.016) if kind == "jeans" else rng.uniform(0.006, 0.042)
    return Bottom(kind, "bottom", round(float(rng.uniform(-0.765, -0.715)), 3), width=round(float(width), 3))

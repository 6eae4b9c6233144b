"""Captions of synthetic people that leave things out, so that a prompt need not say everything."""

import numpy as np

from bolid_data.synthetic.caption import ATTRIBUTES, Description


def partly(description: Description, rng: np.random.Generator, unsaid: float = 0.15) -> str:
    """The caption without the build, and with each other attribute left out at the chance `unsaid`.

    Sleeves and colours are left out with the garment that they belong to.
    """
    kept = {name: getattr(description, name) if rng.random() >= unsaid else "" for name in ATTRIBUTES}
    if not kept["garment"]:
        kept["sleeves"] = kept["top"] = ""
    if not kept["legs"]:
        kept["bottom"] = ""
    return _sentence(**kept)


def _sentence(
    framing: str,
    facing: str,
    hair: str,
    sleeves: str,
    top: str,
    garment: str,
    bottom: str,
    legs: str,
    stance: str,
    arms: str,
    place: str,
) -> str:
    """As `Description.sentence`, which needs a framing and a garment."""
    lower = _join(bottom, legs)
    clothes = [_with_article(_join(sleeves, top, garment)), _with_article(lower) if legs == "skirt" else lower]
    worn = " and ".join(filter(None, clothes))
    parts = [
        _join(_with_article(_join(framing, "photo")), "of a person", facing),
        f"with {hair} hair" if hair else "",
        f"in {worn}" if worn else "",
        stance,
        arms,
        place,
    ]
    return ", ".join(filter(None, parts))


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}" if words else ""

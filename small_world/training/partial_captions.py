"""Captions of synthetic people that leave things out, so that a prompt need not mention everything."""

from dataclasses import replace

import numpy as np

from bolid_data.synthetic.caption import ATTRIBUTES, Description


def drop_attributes(description: Description, rng: np.random.Generator, chance: float = 0.15) -> Description:
    """The description without some of its attributes, each of which is left out with the same chance; sleeves and
    colours also with the garment that they belong to."""
    kept = {name: getattr(description, name) if rng.random() >= chance else "" for name in ATTRIBUTES}
    if not kept["garment"]:
        kept["sleeves"] = kept["top"] = ""
    if not kept["legs"]:
        kept["bottom"] = ""
    return replace(description, **kept)

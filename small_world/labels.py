"""Descriptions of synthetic people as class numbers, for classifiers and for files."""

from collections.abc import Sequence

from bolid_data.synthetic.caption import ATTRIBUTES, WORDS, Description


def to_labels(description: Description) -> list[int]:
    """The attributes as class numbers, in the order of ATTRIBUTES; an attribute that is "" comes after the others."""
    values = [(name, getattr(description, name)) for name in ATTRIBUTES]
    return [WORDS[name].index(value) if value else len(WORDS[name]) for name, value in values]


def from_labels(labels: Sequence[int]) -> Description:
    """The description, without the build, that `to_labels` made class numbers of."""
    values = {name: ([*WORDS[name], ""])[value] for name, value in zip(ATTRIBUTES, labels, strict=True)}
    return Description(build="", **values)

"""Numbers and names in messages."""

from collections.abc import Sequence

_MAX_NAMED = 5


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, which is a plural unless the number is 1.

    >>> counted(1, "photo"), counted(0, "photo"), counted(2, "person", "people")
    ('1 photo', '0 photos', '2 people')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def people(number: int) -> str:
    return counted(number, "person", "people")


def photos(number: int) -> str:
    return counted(number, "photo")


def named(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    >>> named(["anna", "berta"]), named(list("abcdefg"))
    ('anna, berta', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more

"""People's names: the slug that files, keys and the catalog use, and the name as it is shown."""

import hashlib
import re
import unicodedata

from anyascii import anyascii

_LONGEST_SLUG = 80
_LONGEST_NAME = 200
_BLANKS = "\u034f\u115f\u1160\u2800\u3164\uffa0"  # letters, marks and symbols by category, yet nothing is seen of them


def slug(name: str) -> str:
    """`name` as `[a-z0-9_-]{1,80}`, other scripts spelt in Latin letters; "" when nothing can stay (`../`).

    A longer name is cut and ends in a hash of the whole, so that two people who begin alike stay two.

    >>> slug("Rita Ora"), slug("../../etc"), slug("José"), slug("Анна Петрова"), slug("张伟")
    ('rita_ora', 'etc', 'jose', 'anna_petrova', 'zhangwei')
    """
    # Composed first: a file system may hand out й as и and a breve, which would be spelt differently.
    latin = anyascii(unicodedata.normalize("NFKC", name)).lower()
    whole = re.sub(r"[^a-z0-9-]+", "_", latin).strip("_-")
    if len(whole) <= _LONGEST_SLUG:
        return whole
    mark = "-" + hashlib.sha256(whole.encode()).hexdigest()[:8]
    return whole[: _LONGEST_SLUG - len(mark)].rstrip("_-") + mark


def same_name(one: str, other: str) -> bool:
    """Whether two names are spellings of one: alike but for case, accents, spaces and punctuation.

    >>> same_name("Rita Ora", "rita-ora"), same_name("José", "Jose"), same_name("张伟", "章薇")
    (True, True, False)
    """
    return letters(one) == letters(other)


def letters(name: str) -> str:
    """The letters and digits of a name, the same for all its spellings."""
    spelt = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in spelt if char.isalnum())


def clean_name(text: str) -> str:
    """A name fit to show and store: NFC, at most 200 characters, single spaces, nothing that is not seen.

    Control characters (an escape sequence's ESC among them), what changes the direction of text, zero-width and
    private characters go; "" when nothing is left.
    """
    spaced = "".join(" " if char.isspace() else char for char in text)
    seen = "".join(char for char in spaced if unicodedata.category(char)[0] != "C" and char not in _BLANKS)
    return " ".join(unicodedata.normalize("NFC", seen).split())[:_LONGEST_NAME].rstrip()

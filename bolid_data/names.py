"""People's names: the slug for files, keys and the catalog, and the name for display."""

import hashlib
import re
import unicodedata

from anyascii import anyascii

_MAX_SLUG = 80
_MAX_NAME = 200
_BLANKS = "\u034f\u115f\u1160\u2800\u3164\uffa0"  # letters, marks and symbols by category, but invisible


def slug(name: str) -> str:
    """`name` as `[a-z0-9_-]{1,80}`, with other scripts transliterated; "" if nothing remains (`../`).

    A longer slug is cut and ends in a hash of the full one, so that names with the same beginning stay distinct.

    >>> slug("Rita Ora"), slug("../../etc"), slug("José"), slug("Анна Петрова"), slug("张伟")
    ('rita_ora', 'etc', 'jose', 'anna_petrova', 'zhangwei')
    """
    # Composed first: a file system may return й as и and a breve, which would be transliterated differently.
    latin = anyascii(unicodedata.normalize("NFKC", name)).lower()
    full = re.sub(r"[^a-z0-9-]+", "_", latin).strip("_-")
    if len(full) <= _MAX_SLUG:
        return full
    suffix = "-" + hashlib.sha256(full.encode()).hexdigest()[:8]
    return full[: _MAX_SLUG - len(suffix)].rstrip("_-") + suffix


def same_name(one: str, other: str) -> bool:
    """Whether two names are spellings of the same: they differ only in case, accents, spaces and punctuation.

    >>> same_name("Rita Ora", "rita-ora"), same_name("José", "Jose"), same_name("张伟", "章薇")
    (True, True, False)
    """
    return letters(one) == letters(other)


def letters(name: str) -> str:
    """The letters and digits of a name, the same for all its spellings."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in decomposed if char.isalnum())


def clean_name(text: str) -> str:
    """A name that is safe to show and store: NFC, at most 200 characters, single spaces, no invisible characters.

    Removes control characters (such as the ESC of an escape sequence), bidirectional marks, zero-width and private
    characters; "" if nothing remains.
    """
    spaced = "".join(" " if char.isspace() else char for char in text)
    visible = "".join(char for char in spaced if unicodedata.category(char)[0] != "C" and char not in _BLANKS)
    return " ".join(unicodedata.normalize("NFC", visible).split())[:_MAX_NAME].rstrip()

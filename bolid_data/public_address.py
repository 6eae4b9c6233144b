"""Addresses as they are handed on: without user names, passwords and parameters that give access.

Signed links and tokens are somebody's keys. They stay in the local catalog; a photo's identity is its sha256.
"""

import re
from urllib.parse import unquote_plus, urlsplit

USER = "user"
"""Stands for a user name or password among what was left out."""

_WORDS = (
    "token", "secret", "signature", "password", "passwd", "passphrase", "apikey", "accesskey", "credential", "hmac",
    "jwt", "authorization", "session", "keypairid", "privatekey", "policy",
)  # fmt: skip
"""What is in a name of such a parameter, its case and punctuation aside."""
_NAMES = {"sig", "sign", "auth", "key", "pwd", "pass", "sid", "code", "ticket", "hdnts", "hdnea", "acl", "oh"}
"""And what some are called altogether."""
_PREFIXES = ("xamz", "xgoog", "xoss", "xcos", "xms", "qsign", "qak")
_PARTS = re.compile(r"([?&;#])")


def public_address(url: str) -> tuple[str, list[str]]:
    """An address without its secrets, and the names of what was left out (`user` for a user name or password), sorted.

    The rest stays as it is, to the letter.

    >>> public_address("https://anna:pw@a.example/1.jpg?w=800&X-Amz-Signature=0af3&token=7#top")
    ('https://a.example/1.jpg?w=800#top', ['X-Amz-Signature', 'token', 'user'])
    """
    left_out = set()
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, []
    if parts.scheme not in ("http", "https"):
        return url, []
    shown = url
    if "@" in parts.netloc:
        left_out.add(USER)
        shown = url.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
    path, *rest = _PARTS.split(shown)
    kept: list[tuple[str, str]] = []
    for mark, part in zip(rest[::2], rest[1::2], strict=True):
        name = unquote_plus(part.partition("=")[0])
        if _is_secret(name):
            left_out.add(name[:100])
            if mark in "?#":
                kept.append((mark, ""))  # what follows it still begins there
        else:
            kept.append((mark, part))
    return (path + _joined(kept), sorted(left_out)) if left_out else (url, [])


def _joined(parts: list[tuple[str, str]]) -> str:
    """Query and fragment, without marks that nothing follows any more."""
    text = ""
    for mark, part in parts:
        if mark in "&;" and text[-1:] in ("?", "#"):
            mark = ""
        text += mark + part
    return re.sub(r"\?(?=#|$)|#$", "", text)


def _is_secret(name: str) -> bool:
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return letters in _NAMES or letters.startswith(_PREFIXES) or any(word in letters for word in _WORDS)

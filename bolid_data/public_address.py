"""Addresses for sharing: without user names, passwords and parameters that grant access.

Signed links and tokens are secrets and stay in the local catalog; a photo is identified by its sha256.
"""

import re
from urllib.parse import unquote_plus, urlsplit

USER = "user"
"""Stands for a user name or password among the names of the removed parts."""

_WORDS = (
    "token", "secret", "signature", "password", "passwd", "passphrase", "apikey", "accesskey", "credential", "hmac",
    "jwt", "authorization", "session", "keypairid", "privatekey", "policy",
)  # fmt: skip
"""Words within the names of secret parameters, ignoring case and punctuation."""
_NAMES = {"sig", "sign", "auth", "key", "pwd", "pass", "sid", "code", "ticket", "hdnts", "hdnea", "acl", "oh"}
"""Complete names of secret parameters."""
_PREFIXES = ("xamz", "xgoog", "xoss", "xcos", "xms", "qsign", "qak")
_PARTS = re.compile(r"([?&;#])")


def public_address(url: str) -> tuple[str, list[str]]:
    """An address without its secrets, and the sorted names of the removed parts (`user` for a user name or password).

    The rest is unchanged.

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
    public = url
    if "@" in parts.netloc:
        left_out.add(USER)
        public = url.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
    path, *rest = _PARTS.split(public)
    kept: list[tuple[str, str]] = []
    for mark, part in zip(rest[::2], rest[1::2], strict=True):
        name = unquote_plus(part.partition("=")[0])
        if _is_secret(name):
            left_out.add(name[:100])
            if mark in "?#":
                kept.append((mark, ""))  # the next part still begins with this mark
        else:
            kept.append((mark, part))
    return (path + _joined(kept), sorted(left_out)) if left_out else (url, [])


def _joined(parts: list[tuple[str, str]]) -> str:
    """Query and fragment, without marks that are no longer followed by anything."""
    text = ""
    for mark, part in parts:
        if mark in "&;" and text[-1:] in ("?", "#"):
            mark = ""
        text += mark + part
    return re.sub(r"\?(?=#|$)|#$", "", text)


def _is_secret(name: str) -> bool:
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return letters in _NAMES or letters.startswith(_PREFIXES) or any(word in letters for word in _WORDS)

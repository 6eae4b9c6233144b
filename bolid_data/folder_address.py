"""Addresses of files in a `folder` source, relative to it, so that a dataset does not reveal where it was on which
machine."""

import os
import re
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

SCHEME = "file:"


def to_address(path: Path, root: Path) -> str:
    """A file's address relative to `root`. Unprintable and undecodable characters are percent-encoded; a `%` only where
    it could be mistaken for such a code, so that no two files share an address."""
    shown = path.relative_to(root).as_posix()
    return SCHEME + re.sub(r"%(?=[0-9A-Fa-f]{2})|[^\x20-\x7e]", _encode, shown)


def to_path(address: str) -> str:
    """The relative path of the file with this address. It may come from a stranger: `paths.inside` checks it."""
    return os.fsdecode(unquote_to_bytes(address.removeprefix(SCHEME)))


def _encode(match: re.Match[str]) -> str:
    char = match[0]
    return char if char != "%" and char.isprintable() else quote_from_bytes(os.fsencode(char))

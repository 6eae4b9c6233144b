"""Keyed ids of people and photos, which tombstones and runs store instead of names.

A plain hash of a name is not a secret: a dictionary of names can be tried within a second. These ids are HMAC-SHA256
under a key that is in the dataset's folder and is never shared; without it, they reveal nothing.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bolid_data.atomic_io import sync
from bolid_data.errors import BolidError

FILE = "secret.key"
_LENGTH = 24  # hexadecimal digits: 96 bits


@dataclass(frozen=True)
class Key:
    secret: bytes

    @cached_property
    def fingerprint(self) -> str:
        """Identifies this key without revealing it."""
        return self._id("fingerprint", "")

    def person(self, slug: str) -> str:
        return self._id("person", slug)

    def photo(self, sha256: str) -> str:
        return self._id("photo", sha256)

    def address(self, url: str) -> str:
        return self._id("address", url)

    def ids(self, people: Iterable[str], sha256s: Iterable[str]) -> dict[str, str]:
        """Ids of people by slug and of photos by sha256."""
        return {name: self.person(name) for name in people} | {name: self.photo(name) for name in sha256s}

    def _id(self, kind: str, name: str) -> str:
        return hmac.digest(self.secret, f"{kind}\0{name}".encode(), "sha256").hex()[:_LENGTH]


def read_key(root: Path) -> Key | None:
    """The key of the dataset in `root`; None if it has none yet. Raises BolidError for a file that is not a key."""
    file = root / FILE
    try:
        text = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BolidError(f"{file}: cannot be read ({error})") from error
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise BolidError(f"{file}: is not a key; restore it from a backup of this folder")
    return Key(bytes.fromhex(text))


def make_key(root: Path, secret: bytes | None = None) -> Key:
    """Reads the key of the dataset in `root`, or creates one, readable by its owner only."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = secret or secrets.token_bytes(32)
    part = root / f".{FILE}.{os.getpid()}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secret.hex() + "\n")
        sync(part)
        try:
            os.link(part, root / FILE)  # unlike a rename, it never replaces a key
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not (root / FILE).exists():
                part.replace(root / FILE)
        sync(root)
    finally:
        part.unlink(missing_ok=True)
    key = read_key(root)
    assert key
    return key


def salted(salt: str, name: str) -> str:
    """The hash of names in the tombstones of earlier versions; guessing the name reveals it."""
    return hashlib.sha256(f"{salt} {name}".encode()).hexdigest()

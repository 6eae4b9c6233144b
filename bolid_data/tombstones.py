"""What was forgotten: salted hashes of slugs and photos, so that neither comes back and none can be read here."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tombstones:
    """(salt, hash) pairs. A person's slug or a photo's sha256 is `in` it when one of the hashes is theirs."""

    pairs: frozenset[tuple[str, str]] = frozenset()

    def __contains__(self, name: str) -> bool:
        return any((salt, _hash(salt, name)) in self.pairs for salt in {salt for salt, _ in self.pairs})

    @staticmethod
    def of(names: Iterable[str]) -> list[tuple[str, str]]:
        """New tombstones for names, under one new salt."""
        salt = secrets.token_hex(16)
        return [(salt, _hash(salt, name)) for name in names]


def _hash(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt} {name}".encode()).hexdigest()

"""People, photos and addresses that must not come back, because they were forgotten or opted out.

They are stored as keyed ids (`keyed.py`) in `removed.jsonl` beside the key, and in the catalog, so that losing the
catalog brings nobody back. Tombstones of earlier versions remain salted hashes, as their names are unknown.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bolid_data import keyed
from bolid_data.atomic_io import sync
from bolid_data.errors import BolidError
from bolid_data.fields import KeyedId, Sha256
from bolid_data.keyed import Key, make_key, read_key

FILE = "removed.jsonl"
_TAIL = 4096  # bytes, longer than any line

Why = Literal["forgotten", "opted_out"]


@dataclass(frozen=True)
class Removal:
    id: KeyedId
    kind: Literal["person", "photo", "address"]
    why: Why
    key: KeyedId  # fingerprint of the key of the id


@dataclass(frozen=True)
class SaltedRemoval:
    """A person or photo forgotten by an earlier version."""

    salt: Annotated[str, Field(pattern="^[0-9a-f]{1,64}$")]
    hash: Sha256


_ENTRY: TypeAdapter[Removal | SaltedRemoval] = TypeAdapter(Removal | SaltedRemoval)


@dataclass(frozen=True)
class Removed:
    """Looks removals up by name, in constant time."""

    key: Key | None = None
    why: Mapping[str, Why] = field(default_factory=dict)  # by id
    salted: Mapping[str, frozenset[str]] = field(default_factory=dict)  # hashes by salt

    def person(self, slug: str) -> Why | None:
        """Why a person must not come back; None if they may."""
        return self._keyed(Key.person, slug) or self._salted(slug)

    def photo(self, sha256: str) -> Why | None:
        return self._keyed(Key.photo, sha256) or self._salted(sha256)

    def address(self, url: str) -> Why | None:
        return self._keyed(Key.address, url)

    def _keyed(self, make: Any, name: str) -> Why | None:
        return self.why.get(make(self.key, name)) if self.key and self.why else None

    def _salted(self, name: str) -> Why | None:
        hit = any(keyed.salted(salt, name) in hashes for salt, hashes in self.salted.items())
        return "forgotten" if hit else None


class RemovalFile:
    """`removed.jsonl`: one removal per line, appended and never rewritten, readable by its owner only."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / FILE

    def read(self) -> list[Removal | SaltedRemoval]:
        """Raises BolidError for an invalid line, as ignoring it would bring somebody back."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BolidError(f"{self.path}: cannot be read ({error.strerror})") from error
        entries = []
        for number, line in enumerate(lines[:-1], start=1):  # after the last line break is what a kill truncated
            try:
                entries.append(_ENTRY.validate_json(line, strict=True))
            except ValidationError:
                raise BolidError(
                    f"{self.path}:{number}: is not a removal; restore the file from a backup of this folder"
                ) from None
        return entries

    def create(self) -> None:
        """Creates the file if needed, so that a missing file is known to be lost."""
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            sync(self.root)

    def append(self, entries: Sequence[Removal | SaltedRemoval]) -> None:
        """Appends lines durably."""
        if not entries:
            return
        self.create()
        text = "".join(json.dumps(asdict(entry), sort_keys=True) + "\n" for entry in entries)
        with os.fdopen(os.open(self.path, os.O_RDWR), "r+b") as file:
            tail = max(0, file.seek(0, os.SEEK_END) - _TAIL)
            file.seek(tail)
            file.truncate(tail + file.read().rfind(b"\n") + 1)  # drops a line that a kill truncated
            file.seek(0, os.SEEK_END)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def index_removals(root: Path, entries: Iterable[Removal | SaltedRemoval]) -> Removed:
    """The removals of the dataset in `root`.

    Raises BolidError where its key is missing or is not the one of the removals: with a new key, everybody would come
    back.
    """
    key, why, hashes = read_key(root), {}, defaultdict(set)
    for entry in entries:
        if isinstance(entry, SaltedRemoval):
            hashes[entry.salt].add(entry.hash)
            continue
        if key is None or entry.key != key.fingerprint:
            state = "is missing" if key is None else "is not the key that they were made with"
            raise BolidError(
                f"{root / keyed.FILE}: {state}, so the removals in {FILE} cannot be read; restore it from a backup"
            )
        why[entry.id] = entry.why
    return Removed(key, why, {salt: frozenset(of_salt) for salt, of_salt in hashes.items()})


def removals_of(
    root: Path, why: Why, people: Iterable[str] = (), sha256s: Iterable[str] = (), urls: Iterable[str] = ()
) -> list[Removal]:
    """Removals of people by their slugs, of photos and of addresses."""
    key = read_key(root) or make_key(root)
    named: list[tuple[Any, Any, Iterable[str]]] = [
        ("person", Key.person, people), ("photo", Key.photo, sha256s), ("address", Key.address, urls),
    ]  # fmt: skip
    return [Removal(make(key, name), kind, why, key.fingerprint) for kind, make, names in named for name in names]

"""The photo store: every photo under the sha256 of its own bytes, written under a temporary name and renamed."""

import base64
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from bolid_data.errors import BolidError
from bolid_data.records import Validators

EXPIRY = 7 * 24 * 3600.0
"""Seconds after which a download that nothing came of is deleted: a crawl that goes on later fetches it again."""


class Arrivals:
    """Downloads in the inbox by their address, with the validators of their bytes."""

    def __init__(self, found: dict[str, tuple[Path, Validators]]) -> None:
        self._found = found

    def get(self, address: str) -> tuple[Path, Validators] | None:
        return self._found.get(_key(address))

    def put(self, address: str, file: Path, validators: Validators) -> None:
        self._found[_key(address)] = file, validators

    def take(self, address: str) -> None:
        """Its file is somebody else's from here on."""
        self._found.pop(_key(address), None)

    def discard(self, address: str) -> None:
        if left := self._found.pop(_key(address), None):
            left[0].unlink(missing_ok=True)


class Store:
    """`photos/ab/ab12….jpg`, and an inbox for files that are not yet in the catalog.

    The inbox makes a crawl safe to kill: a download is written to `inbox/<hash of its address>.<validators>.part`,
    renamed to `….whole`, linked into the store when it is committed to the catalog, and only then taken out of the
    inbox. What a kill leaves behind is found there by address: what is whole is never fetched again, and what is not
    goes on where it stopped, if the server can say by the validators that it is still the same file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / ".inbox"
        self._folders: set[str] = set()  # made already

    def path(self, sha256: str, extension: str) -> Path:
        return self.root / sha256[:2] / f"{sha256}.{extension}"

    def find(self, sha256: str) -> Path:
        """The file of a photo. Raises BolidError when it is missing."""
        _check(sha256)
        for path in (self.root / sha256[:2]).glob(f"{sha256}.*"):
            if path.is_file():
                return path
        raise BolidError(f"{self.root / sha256[:2] / sha256}.*: a photo the catalog knows is missing; scrape it again")

    def files(self) -> Iterator[Path]:
        """Every photo's file, in the order of their hashes."""
        for folder in sorted(self._shelves()):
            yield from sorted(file for file in folder.iterdir() if not file.name.startswith("."))

    def _shelves(self) -> Iterator[Path]:
        """The folders that photos lie in. A link is none of ours: what it leads to is somebody else's."""
        for folder in self.root.glob("[0-9a-f][0-9a-f]"):
            if folder.is_dir() and not folder.is_symlink():
                yield folder

    def arriving(self, address: str, validators: Validators) -> Path:
        """Where a download of `address` is written until it is whole: its validators are there whenever it is."""
        values = json.dumps([validators.etag, validators.last_modified], separators=(",", ":"))
        return self.inbox / f"{_key(address)}.{base64.urlsafe_b64encode(values.encode()).decode()}.part"

    def arrived(self, part: Path) -> Path:
        """Says that a download is whole. Returns where it waits for its commit."""
        return part.replace(part.with_suffix(".whole"))

    def arrivals(self) -> "Arrivals":
        """Opens the inbox: what an earlier run left in it, whole or not, and not too long ago."""
        self.inbox.mkdir(parents=True, exist_ok=True)
        oldest, found = time.time() - EXPIRY, {}
        for file in self.inbox.iterdir():
            if file.stat(follow_symlinks=False).st_mtime < oldest:
                file.unlink()
                continue
            name, _, values = file.stem.partition(".")
            with suppress(ValueError, TypeError):  # not ours
                found[name] = file, Validators(*json.loads(base64.urlsafe_b64decode(values)))
        return Arrivals(found)

    def discard(self, sha256: str) -> None:
        """Removes a photo, if it is there."""
        _check(sha256)
        folder = self.root / sha256[:2]
        if not folder.is_symlink():
            for file in folder.glob(f"{sha256}.*"):
                file.unlink()

    def discard_arrivals(self, addresses: Iterable[str]) -> None:
        """Removes what has arrived in the inbox from these addresses."""
        keys = {_key(address) for address in addresses}
        for file in self.inbox.iterdir() if self.inbox.is_dir() else ():
            if file.name.partition(".")[0] in keys:
                file.unlink(missing_ok=True)

    def remove(self, unwanted: Callable[[str], bool]) -> None:
        """Removes the photos whose sha256 is unwanted, and what was being written when a run was killed."""
        for folder in self._shelves():
            for file in folder.iterdir():
                if file.name.startswith(".") or unwanted(file.stem):
                    file.unlink()

    def empty_inbox(self) -> None:
        """Removes what waits for its commit; the next crawl fetches it again."""
        if self.inbox.is_symlink():
            self.inbox.unlink()
        elif self.inbox.exists():
            shutil.rmtree(self.inbox)

    def keep(self, file: Path, sha256: str, extension: str) -> bool:
        """Puts a file's bytes into the store, leaving the file where it is. Returns False for what is there already.

        Only a download is linked: a person's own photo is copied, or editing it would change what the store holds.
        """
        target = self.path(sha256, extension)
        if target.exists():
            return False
        if sha256[:2] not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(sha256[:2])
        if file.parent == self.inbox:
            with suppress(OSError):  # a file system without links
                os.link(file, target)
                return True
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(file, partial)
        partial.replace(target)
        return True


def _check(sha256: str) -> None:
    """A hash from a catalog becomes a path here."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise BolidError(f"'{sha256}' is no sha256 of a photo; bolid wrote no catalog that has it")


def _key(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()

"""The photo store: every photo under the sha256 of its own bytes, written under a temporary name and renamed."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bolid_data.errors import BolidError


class Store:
    """`photos/ab/ab12….jpg`, and an inbox for files that are not yet in the catalog.

    The inbox makes a crawl safe to kill: a download is written to `inbox/<hash of its address>.part`, renamed when
    whole, linked into the store when it is committed to the catalog, and only then taken out of the inbox. What a
    kill leaves behind is found there by address and never fetched again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / ".inbox"

    def path(self, sha256: str, extension: str) -> Path:
        return self.root / sha256[:2] / f"{sha256}.{extension}"

    def find(self, sha256: str) -> Path:
        """The file of a photo. Raises BolidError when it is missing."""
        for path in (self.root / sha256[:2]).glob(f"{sha256}.*"):
            return path
        raise BolidError(f"{self.root / sha256[:2] / sha256}.*: a photo the catalog knows is missing; scrape it again")

    def files(self) -> Iterator[Path]:
        """Every photo's file, in the order of their hashes."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            yield from sorted(file for file in folder.iterdir() if not file.name.startswith("."))

    def waiting(self, address: str) -> Path:
        """Where a whole download of `address` waits in the inbox."""
        self.inbox.mkdir(parents=True, exist_ok=True)
        return self.inbox / hashlib.sha256(address.encode()).hexdigest()

    def keep(self, file: Path, sha256: str, extension: str) -> Path:
        """Puts a file's bytes into the store, leaving the file where it is; a photo already there stays.

        Only a download is linked: a person's own photo is copied, or editing it would change what the store holds.
        """
        target = self.path(sha256, extension)
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.parent == self.inbox:
            with suppress(OSError):  # a file system without links
                os.link(file, target)
                return target
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(file, partial)
        partial.replace(target)
        return target

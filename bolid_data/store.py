"""The photo store: every photo under the sha256 of its own bytes, written under a temporary name and renamed, and
hashed again whenever it is read."""

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

from bolid_data.atomic_io import make_folder, sync
from bolid_data.errors import BolidError
from bolid_data.records import Validators
from bolid_data.weights import file_sha256

EXPIRY = 7 * 24 * 3600.0
"""Seconds after which a download that nothing came of is deleted: a crawl that goes on later fetches it again."""


class LostPhotoError(BolidError):
    """A photo that the catalog vouches for is missing, or its file holds other bytes."""

    def __init__(self, sha256: str, problem: str) -> None:
        super().__init__(f"photo {sha256}: {problem}; `bolid scrape` fetches it again")
        self.sha256, self.problem = sha256, problem


MISSING = "its file is missing"
CHANGED = "its file does not hold its bytes"


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
        self.damaged = root / ".damaged"
        self._folders: set[str] = set()  # made already

    def path(self, sha256: str, extension: str) -> Path:
        return self.root / sha256[:2] / f"{sha256}.{extension}"

    def find(self, sha256: str) -> Path:
        """The file of a photo. Raises LostPhotoError when it is missing."""
        if not (path := self.place(sha256)).is_file():
            raise LostPhotoError(sha256, MISSING)
        return path

    def place(self, sha256: str) -> Path:
        """Where a photo's file is, or would be if it were not missing."""
        _check(sha256)
        folder = self.root / sha256[:2]
        return next((path for path in folder.glob(f"{sha256}.*") if path.is_file()), folder / sha256)

    def read(self, sha256: str) -> bytes:
        """A photo's bytes. Raises LostPhotoError where they are missing or others."""
        return read_photo(self.place(sha256), sha256)

    def sizes(self, shelf: str) -> dict[str, int]:
        """Bytes of the files of one shelf (the first two digits of a sha256), by sha256."""
        try:
            entries = list(os.scandir(self.root / shelf))
        except FileNotFoundError:
            return {}
        files = (entry for entry in entries if entry.is_file() and not entry.name.startswith("."))
        return {entry.name.partition(".")[0]: entry.stat().st_size for entry in files}

    def set_aside(self, sha256: str) -> None:
        """Moves what lies in a photo's place out of the way, to `.damaged`; nothing where the file is missing."""
        _check(sha256)
        for file in (self.root / sha256[:2]).glob(f"{sha256}.*"):
            make_folder(self.damaged)
            file.replace(self.damaged / file.name)
            sync(self.damaged)

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
        """Opens the inbox: what an earlier run left in it, whole or not, and not too long ago. Files in it are not
        synced, so what was written before this machine started may have lost its bytes."""
        self.inbox.mkdir(parents=True, exist_ok=True)
        oldest, found = max(time.time() - EXPIRY, _started()), {}
        for file in self.inbox.iterdir():
            if file.stat(follow_symlinks=False).st_mtime < oldest:
                file.unlink()
                continue
            name, _, values = file.stem.partition(".")
            with suppress(ValueError, TypeError):  # not ours
                found[name] = file, Validators(*json.loads(base64.urlsafe_b64decode(values)))
        return Arrivals(found)

    def discard(self, sha256: str) -> None:
        """Removes a photo, and what was set aside in its place, if it is there."""
        _check(sha256)
        for folder in (self.root / sha256[:2], self.damaged):
            if not folder.is_symlink():
                for file in folder.glob(f"{sha256}.*"):
                    file.unlink()
                    sync(folder)

    def discard_arrivals(self, addresses: Iterable[str]) -> None:
        """Removes what has arrived in the inbox from these addresses."""
        keys = {_key(address) for address in addresses}
        for file in self.inbox.iterdir() if self.inbox.is_dir() else ():
            if file.name.partition(".")[0] in keys:
                file.unlink(missing_ok=True)

    def remove(self, unwanted: Callable[[str], bool]) -> None:
        """Removes the photos whose sha256 is unwanted, what was being written when a run was killed, and all that was
        set aside: whose bytes those are, nobody knows."""
        _remove_folder(self.damaged)
        emptied = set()
        for folder in self._shelves():
            for file in folder.iterdir():
                if file.name.startswith(".") or unwanted(file.stem):
                    file.unlink()
                    emptied.add(folder)
        for folder in emptied:
            sync(folder)

    def empty_inbox(self) -> None:
        """Removes what waits for its commit; the next crawl fetches it again."""
        _remove_folder(self.inbox)

    def keep(self, file: Path, sha256: str, extension: str) -> bool:
        """Puts a file's bytes into the store, leaving the file where it is. Returns False for what is there already.

        Only a download is linked: a person's own photo is copied, or editing it would change what the store holds.
        A power loss can take the photo until its file is synced.
        """
        target = self.path(sha256, extension)
        if target.exists():
            if file_sha256(target) == sha256:
                return False
            self.set_aside(sha256)
        if sha256[:2] not in self._folders:
            make_folder(target.parent)
            self._folders.add(sha256[:2])
        if file.parent == self.inbox:
            with suppress(OSError):  # a file system without links
                os.link(file, target)
                return True
        partial = target.with_name(f".{target.name}.part")
        shutil.copyfile(file, partial)
        partial.replace(target)
        return True


def read_photo(file: Path, sha256: str) -> bytes:
    """A photo's bytes from its file. Raises LostPhotoError where they are not those of its sha256."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise LostPhotoError(sha256, MISSING) from None
    except OSError as error:
        raise LostPhotoError(sha256, f"its file cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LostPhotoError(sha256, CHANGED)
    return data


def _started() -> float:
    """When this machine was started, in seconds since the epoch."""
    return time.time() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _remove_folder(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _check(sha256: str) -> None:
    """A hash from a catalog becomes a path here."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise BolidError(f"'{sha256}' is no sha256 of a photo; bolid wrote no catalog that has it")


def _key(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()

"""The photo store: every photo is filed under the sha256 of its bytes, written under a temporary name and renamed, and
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
"""Seconds after which an abandoned download is deleted; a later crawl fetches it again."""


class LostPhotoError(BolidError):
    """A photo that the catalog records is missing, or its file holds other bytes."""

    def __init__(self, sha256: str, problem: str) -> None:
        super().__init__(f"photo {sha256}: {problem}; `bolid scrape` fetches it again")
        self.sha256, self.problem = sha256, problem


MISSING = "its file is missing"
CHANGED = "its file does not hold its bytes"


class Inbox:
    """Downloads in the inbox by address, with their validators."""

    def __init__(self, downloads: dict[str, tuple[Path, Validators]]) -> None:
        self._downloads = downloads

    def get(self, address: str) -> tuple[Path, Validators] | None:
        return self._downloads.get(_key(address))

    def put(self, address: str, file: Path, validators: Validators) -> None:
        self._downloads[_key(address)] = file, validators

    def release(self, address: str) -> None:
        """Hands a download over: it is no longer tracked here."""
        self._downloads.pop(_key(address), None)

    def discard(self, address: str) -> None:
        if download := self._downloads.pop(_key(address), None):
            download[0].unlink(missing_ok=True)


class Store:
    """`photos/ab/ab12….jpg`, and an inbox for files that are not yet in the catalog.

    The inbox makes a crawl safe to kill: a download is written to `inbox/<hash of its address>.<validators>.part`,
    renamed to `….whole`, linked into the store when it is committed to the catalog, and only then removed from the
    inbox. After a kill, downloads are found there by address: a complete one is never fetched again, and a partial one
    is resumed if the server confirms by the validators that the file is unchanged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / ".inbox"
        self.damaged = root / ".damaged"
        self.thumbnails = root / ".thumbnails"
        self._folders: set[str] = set()  # known to exist

    def path(self, sha256: str, extension: str) -> Path:
        return self.root / sha256[:2] / f"{sha256}.{extension}"

    def find(self, sha256: str) -> Path:
        """The file of a photo. Raises LostPhotoError when it is missing."""
        if not (path := self.locate(sha256)).is_file():
            raise LostPhotoError(sha256, MISSING)
        return path

    def locate(self, sha256: str) -> Path:
        """The path of a photo's file; without an extension where the file is missing."""
        _check(sha256)
        folder = self.root / sha256[:2]
        return next((path for path in folder.glob(f"{sha256}.*") if path.is_file()), folder / sha256)

    def read(self, sha256: str) -> bytes:
        """A photo's bytes. Raises LostPhotoError where they are missing or differ from its sha256."""
        return read_photo(self.locate(sha256), sha256)

    def sizes(self, shelf: str) -> dict[str, int]:
        """Sizes in bytes of the files on one shelf (the first two digits of a sha256), by sha256."""
        try:
            entries = list(os.scandir(self.root / shelf))
        except FileNotFoundError:
            return {}
        files = (entry for entry in entries if entry.is_file() and not entry.name.startswith("."))
        return {entry.name.partition(".")[0]: entry.stat().st_size for entry in files}

    def set_aside(self, sha256: str) -> None:
        """Moves a photo's file to `.damaged`; does nothing where it is missing."""
        _check(sha256)
        for file in (self.root / sha256[:2]).glob(f"{sha256}.*"):
            make_folder(self.damaged)
            file.replace(self.damaged / file.name)
            sync(self.damaged)

    def files(self) -> Iterator[Path]:
        """Every photo's file, in the order of their hashes."""
        for folder in sorted(self._shelves()):
            yield from sorted(file for file in folder.iterdir() if not file.name.startswith("."))

    def _shelves(self, root: Path | None = None) -> Iterator[Path]:
        """The folders of photos, or of thumbnails. Links are ignored: they lead to folders that are not ours."""
        root = root or self.root
        for folder in root.glob("[0-9a-f][0-9a-f]") if not root.is_symlink() else ():
            if folder.is_dir() and not folder.is_symlink():
                yield folder

    def download_path(self, address: str, validators: Validators) -> Path:
        """The path of a partial download of `address`; its name holds the validators."""
        values = json.dumps([validators.etag, validators.last_modified], separators=(",", ":"))
        return self.inbox / f"{_key(address)}.{base64.urlsafe_b64encode(values.encode()).decode()}.part"

    def mark_complete(self, part: Path) -> Path:
        """Marks a download as complete. Returns its new path in the inbox."""
        return part.replace(part.with_suffix(".whole"))

    def open_inbox(self) -> Inbox:
        """The inbox with the recent downloads of earlier runs, complete or not. Files in it are not synced, so those
        written before this machine booted may have lost bytes: they are fetched again."""
        self.inbox.mkdir(parents=True, exist_ok=True)
        oldest, booted, downloads = time.time() - EXPIRY, _boot_time(), {}
        for file in self.inbox.iterdir():
            modified = file.stat(follow_symlinks=False).st_mtime
            if modified < oldest:
                file.unlink()
            elif modified >= booted and (download := _read_name(file)):
                key, validators = download
                downloads[key] = file, validators
        return Inbox(downloads)

    def complete_downloads(self) -> dict[str, tuple[Path, Validators]]:
        """The complete downloads in the inbox, by the sha256 of their addresses."""
        names = {file: _read_name(file) for file in self.inbox.glob("*.whole")}
        return {name[0]: (file, name[1]) for file, name in names.items() if name}

    def thumbnail(self, sha256: str) -> Path:
        """Where the thumbnail of a photo is, once `bolid review` has made it. It is deleted with the photo."""
        _check(sha256)
        return self.thumbnails / sha256[:2] / f"{sha256}.webp"

    def discard(self, sha256: str) -> None:
        """Deletes a photo, any damaged file of it, and then its thumbnail."""
        _check(sha256)
        for folder in (self.root / sha256[:2], self.damaged, self.thumbnails / sha256[:2]):
            if not folder.is_symlink() and not folder.parent.is_symlink():
                for file in folder.glob(f"{sha256}.*"):
                    file.unlink()
                    sync(folder)

    def discard_downloads(self, addresses: Iterable[str]) -> None:
        """Deletes the downloads of these addresses from the inbox."""
        keys = {_key(address) for address in addresses}
        for file in self.inbox.iterdir() if self.inbox.is_dir() else ():
            if file.name.partition(".")[0] in keys:
                file.unlink(missing_ok=True)

    def remove(self, unwanted: Callable[[str], bool]) -> None:
        """Deletes the photos whose sha256 is unwanted with their thumbnails, partial files of killed runs, and all
        damaged files, as nobody knows whose bytes they hold."""
        _remove_folder(self.damaged)
        emptied = set()
        # Thumbnails last: whoever makes one looks afterwards whether the photo is still there.
        for folder in (*self._shelves(), *self._shelves(self.thumbnails)):
            for file in folder.iterdir():
                if file.name.startswith(".") or unwanted(file.stem):
                    file.unlink()
                    emptied.add(folder)
        for folder in emptied:
            sync(folder)

    def empty_inbox(self) -> None:
        """Deletes all downloads that are not committed; the next crawl fetches them again."""
        _remove_folder(self.inbox)

    def add(self, file: Path, sha256: str, extension: str) -> bool:
        """Adds a file to the store and leaves the original in place. Returns False if the photo is there already.

        Only a download is linked: a photo from a user's folder is copied, as editing it would change the store.
        Until the caller syncs the file, a power loss can destroy it.
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
    """A photo's bytes from its file. Raises LostPhotoError where they do not match its sha256."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise LostPhotoError(sha256, MISSING) from None
    except OSError as error:
        raise LostPhotoError(sha256, f"its file cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LostPhotoError(sha256, CHANGED)
    return data


def _read_name(file: Path) -> tuple[str, Validators] | None:
    """The sha256 of a download's address and its validators, from its name; None where the file is not a download."""
    key, _, values = file.stem.partition(".")
    try:
        return key, Validators(*json.loads(base64.urlsafe_b64decode(values)))
    except (ValueError, TypeError):
        return None


def _boot_time() -> float:
    """When this machine booted, in seconds since the epoch."""
    return time.time() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _remove_folder(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _check(sha256: str) -> None:
    """A hash from a catalog becomes part of a path, so it must be one."""
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise BolidError(f"'{sha256}' is not the sha256 of a photo; bolid did not write this catalog")


def _key(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()

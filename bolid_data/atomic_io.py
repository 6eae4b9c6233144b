"""Files and folders that are written whole or not at all, and are on the disk before anything counts on them.

A rename alone survives a killed process but not a power loss: the new name can reach the disk before the bytes do, and
either can be lost. So a file is synced before it gets its name, and its folder afterwards.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Returns once a file's bytes, or a folder's list of names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path]) -> None:
    """Syncs files, then each of their folders once."""
    folders = set()
    for file in files:
        sync(file)
        folders.add(file.parent)
    for folder in folders:
        sync(folder)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write a file to; the file takes the name `path` when the block ends without an error.

    Makes the folder where there is none. An OSError names `path`: the system names a file only where it cannot be
    opened, and a full disk is met later.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.part")
    try:
        with naming(path):
            yield partial
            replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def replace(source: Path, target: Path) -> None:
    """Moves a file into the place of any that is there."""
    sync(source)
    source.replace(target)
    sync(target.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder to fill; it takes the name `path`, where there must be none, when the block ends
    without an error."""
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        sync_tree(partial)
        partial.rename(path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def sync_tree(folder: Path) -> None:
    """Syncs a folder and everything below it; of a link, only its name."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if not (file := Path(parent, name)).is_symlink():
                sync(file)
        sync(Path(parent))


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing, each of them synced into the one above."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync(place.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an OSError without a file's name the name `path`; also one that torch hides behind a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        failure = error if isinstance(error, OSError) else error.__context__
        if not isinstance(failure, OSError):
            raise
        raise OSError(failure.errno, failure.strerror, str(failure.filename or path)) from error

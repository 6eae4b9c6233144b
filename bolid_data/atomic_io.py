"""Atomic and durable writes of files and folders.

A rename alone survives a killed process but not a power loss: the new name can reach the disk before the bytes do, and
either can be lost. So a file is synced before it is renamed, and its folder afterwards.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Syncs a file's bytes, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path]) -> None:
    """Syncs files, and then each of their folders once."""
    folders = set()
    for file in files:
        sync(file)
        folders.add(file.parent)
    for folder in folders:
        sync(folder)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, which is renamed to `path` if the block ends without an error.

    Creates the folder if needed. An OSError names `path`, as the system names a file only if it cannot be opened, and
    not, for example, when the disk is full.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.part")
    try:
        with _naming(path):
            yield partial
            replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes many files atomically, and syncs their folders once. If killed, each file is complete or missing."""
    partial = {path: path.with_name(f".{path.name}.part") for path in contents}
    for folder in {path.parent for path in contents}:
        make_folder(folder)
    try:
        for path, content in contents.items():
            with _naming(path):
                partial[path].write_bytes(content)
                sync(partial[path])
        for path, part in partial.items():
            part.replace(path)
    except BaseException:
        for part in partial.values():
            part.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in contents}:
        sync(folder)


def replace(source: Path, target: Path) -> None:
    """Moves a file to `target`, replacing any file there."""
    sync(source)
    source.replace(target)
    sync(target.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder to fill, which is renamed to `path` if the block ends without an error; `path`
    must not exist."""
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
    """Syncs a folder and everything below it; links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if not (file := Path(parent, name)).is_symlink():
                sync(file)
        sync(Path(parent))


def make_folder(folder: Path) -> None:
    """Creates a folder and its missing parents, and syncs each into the one above."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds `path` to an OSError without a file name; also to one that torch hides behind a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        failure = error if isinstance(error, OSError) else error.__context__
        if not isinstance(failure, OSError):
            raise
        raise OSError(failure.errno, failure.strerror, str(failure.filename or path)) from error

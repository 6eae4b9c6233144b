"""Paths below a folder. A dataset's folder may come from a stranger, so names from files, and links, are followed only
inside the folder."""

import os
import shutil
import stat
from pathlib import Path

from bolid_data.atomic_io import sync
from bolid_data.errors import BolidError


def inside(root: Path, *names: str | Path) -> Path:
    """`root/names…`. Raises BolidError where that is `root` itself or outside it: by an absolute name, by `..`, or
    through a link."""
    try:
        path, real = root.joinpath(*names), os.path.realpath(root.joinpath(*names))
    except ValueError:  # a NUL in a name
        raise _outside(root, names) from None
    real_root = os.path.realpath(root)
    if real == real_root or os.path.commonpath([real, real_root]) != real_root:
        raise _outside(root, names)
    return path


def regular_file(root: Path, *names: str | Path) -> Path:
    """The same, for an existing file. Raises BolidError if it is missing or not a regular file: reading a pipe or a
    device might never end."""
    path = inside(root, *names)
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise BolidError(f"{path}: {error.strerror or error}") from None
    if not stat.S_ISREG(kind):
        raise BolidError(f"{path}: is not a regular file")
    return path


def remove(root: Path, *names: str | Path) -> None:
    """Deletes a file or a folder below `root`, if it exists; of a link, only the link."""
    *folders, name = map(str, names)
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise _outside(root, names)
    path = (inside(root, *folders) if folders else root) / name
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(inside(root, *names))
    else:
        return
    sync(path.parent)


def refuse_links(root: Path) -> None:
    """Raises BolidError for a link below `root` that leads out of it, as writing or deleting through it would affect
    other files. Takes a second or two for a million files."""
    folders = [str(root)]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # missing, or not readable
            continue
        for entry in entries:
            if entry.is_symlink():
                try:
                    inside(root, os.path.relpath(entry.path, root))
                except BolidError:
                    raise BolidError(
                        f"{entry.path}: is a link that leads out of {root}, where bolid writes and deletes nothing; "
                        "replace it by its target, or remove it"
                    ) from None
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)


def private_folder(path: Path) -> None:
    """Creates a folder that only its owner may enter; an existing one is not changed."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _outside(root: Path, names: tuple[str | Path, ...]) -> BolidError:
    name = "/".join(map(str, names))
    return BolidError(f"{root}: '{name}' leads out of this folder, and nothing outside of it is read or changed")

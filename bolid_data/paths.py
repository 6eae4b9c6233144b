"""Paths below a folder. A dataset's folder may come from a stranger, so every name that is read from a file, and every
link, is followed only as far as the folder reaches."""

import os
import shutil
import stat
from pathlib import Path

from bolid_data.atomic_io import sync
from bolid_data.errors import BolidError


def inside(root: Path, *names: str | Path) -> Path:
    """`root/names…`. Raises BolidError where that is `root` itself or lies outside of it: by an absolute name, by
    `..`, or through a link."""
    try:
        path, place = root.joinpath(*names), os.path.realpath(root.joinpath(*names))
    except ValueError:  # a NUL in a name
        raise _outside(root, names) from None
    home = os.path.realpath(root)
    if place == home or os.path.commonpath([place, home]) != home:
        raise _outside(root, names)
    return path


def regular_file(root: Path, *names: str | Path) -> Path:
    """The same, of a file that is there. Raises BolidError for one that is missing, or is no regular file: reading a
    pipe or a device might never end."""
    path = inside(root, *names)
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise BolidError(f"{path}: {error.strerror or error}") from None
    if not stat.S_ISREG(kind):
        raise BolidError(f"{path}: is no regular file")
    return path


def remove(root: Path, *names: str | Path) -> None:
    """Deletes a file or a folder below `root`, if it is there; of a link, the link alone."""
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
    """Raises BolidError for a link below `root` that leads out of it: what is written to it, or deleted behind it,
    would be somebody else's. Folders of a million files are looked through in a second or two."""
    folders = [str(root)]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # not there, or not ours to look into
            continue
        for entry in entries:
            if entry.is_symlink():
                try:
                    inside(root, os.path.relpath(entry.path, root))
                except BolidError:
                    raise BolidError(
                        f"{entry.path}: is a link that leads out of {root}, where bolid writes and deletes nothing; "
                        "put what it leads to in its place, or remove it"
                    ) from None
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)


def private_folder(path: Path) -> None:
    """Makes a folder that its owner alone may enter; one that is there stays as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _outside(root: Path, names: tuple[str | Path, ...]) -> BolidError:
    name = "/".join(map(str, names))
    return BolidError(f"{root}: '{name}' leads out of this folder, and nothing outside of it is read or changed")

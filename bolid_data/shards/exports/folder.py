"""A folder that was exported to: the file that marks it as one, and removing photos from it."""

import json
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from bolid_data.atomic_io import sync, write_text
from bolid_data.errors import UsageError
from bolid_data.paths import remove
from bolid_data.shards.exports.layouts import METADATA

MARKER = ".bolid-export.json"
"""Readers ignore hidden files."""

_KEY = re.compile(r"\.?([a-z0-9_-]{1,80}?-[0-9a-f]{16})(?![0-9a-f])")
_TAR = re.compile(r"[a-z0-9_]{1,40}-[0-9]{6,9}\.tar")


def read_marker(folder: Path) -> dict[str, Any] | None:
    """The options of the export in a folder; None if it is not one."""
    try:
        options = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return options if isinstance(options, dict) else None


def begin(folder: Path, options: dict[str, Any]) -> None:
    """Marks a folder as an export with these options. Photos in it that were exported with others are removed.

    Raises UsageError for a folder that holds anything else, as its files are not ours to replace, or links other than
    those of `--links`, as writing through one would change other files.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder")
    earlier = read_marker(folder)
    # A run that was killed at once has left nothing but a half-written marker.
    if earlier is None and folder.exists() and any(file.name != f".{MARKER}.part" for file in folder.iterdir()):
        raise UsageError(f"{folder}: is not empty, and bolid exported nothing to it; name a new folder")
    same = ("name", "format")
    if earlier is not None and any(earlier.get(key) != options[key] for key in same):
        raise UsageError(
            f"{folder}: holds the export of '{earlier.get('name')}' to {earlier.get('format')}; name another folder"
        )
    _refuse_links(folder)
    if earlier != options:
        if earlier is not None:
            remove_photos(folder, lambda key, path: True)
        write_text(folder / MARKER, json.dumps(options, indent=1, sort_keys=True) + "\n")


def _refuse_links(folder: Path) -> None:
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() and (path.is_dir() or not (photo_key(name) and name.endswith(".jpg"))):
                raise UsageError(f"{path}: is a link, which bolid did not make; remove it, or name another folder")


def remove_photos(folder: Path, unwanted: Callable[[str, str], bool]) -> int:
    """Removes the files of photos that are unwanted, given by their key and a path relative to `folder`: images,
    captions, lines of metadata.jsonl, what a trainer cached under their names, and what a killed export left. Then
    removes folders that this leaves empty. Returns the number of files removed."""
    removed = 0
    for parent, _, names in os.walk(folder, topdown=False):
        here, unwanted_names = Path(parent), []
        relative = here.relative_to(folder)
        for name in names:
            key = photo_key(name)
            if key and (name.endswith(".part") or unwanted(key, (relative / name).as_posix())):
                unwanted_names.append(name)
            elif name in (METADATA, f".{METADATA}.part"):
                _filter_lines(here / name, relative, unwanted)
        for name in unwanted_names:
            (here / name).unlink()
        removed += len(unwanted_names)
        if unwanted_names:
            sync(here)
            if here != folder and not any(file.name != METADATA for file in here.iterdir()):
                remove(here.parent, here.name)
    return removed


def photo_key(name: str) -> str | None:
    """The key of the photo in a file's name; None for a file that is not ours."""
    match = _KEY.match(name)
    return match and match[1]


def is_tar(name: str) -> bool:
    """Whether a file's name is that of a tar that an export writes."""
    return bool(_TAR.fullmatch(name))


def remove_tars(folder: Path, keep: Collection[str] = ()) -> None:
    """Removes the tars of an export but those to keep."""
    for file in folder.iterdir():
        if is_tar(file.name) and file.name not in keep:
            remove(folder, file.name)


def _filter_lines(metadata: Path, relative: Path, unwanted: Callable[[str, str], bool]) -> None:
    """Removes the lines of unwanted photos from a metadata.jsonl, and those that are not ours."""
    with metadata.open(encoding="utf-8", errors="replace") as lines:
        keys = ((line, _key_of_line(line)) for line in lines)
        kept = [line for line, key in keys if key and not unwanted(key, (relative / f"{key}.jpg").as_posix())]
    write_text(metadata, "".join(kept))


def _key_of_line(line: str) -> str | None:
    try:
        return photo_key(json.loads(line)["file_name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None

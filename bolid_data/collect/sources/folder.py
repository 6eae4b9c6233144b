"""A local source: a folder with one folder of photos per person."""

import os
import re
from pathlib import Path
from urllib.parse import quote_from_bytes

from bolid_data.collect.ingest import Ingest
from bolid_data.collect.slugs import Slugs
from bolid_data.errors import UsageError
from bolid_data.manifest import FolderSource
from bolid_data.names import clean_name, slug
from bolid_data.progress import bar, note
from bolid_data.records import ListedPerson

_LITTER = {"thumbs.db", "desktop.ini"}  # what Windows puts in folders; other systems use names with a leading dot


def collect_folder(root: Path, source: FolderSource, ingest: Ingest) -> None:
    """Ingests every file below each person's folder, except hidden ones.

    A file that is not a photo is recorded as `broken`, a link to a file outside `root` as `outside`, and a file or
    folder that this user may not read as `unreadable`, which the next run tries again. Links to folders are not
    followed. A photo whose file has been deleted is marked as gone. Addresses are `file:<person's folder>/<file>`, so
    that a dataset does not reveal where it was on which machine.
    """
    people = _people(root, source)
    if not people:
        raise UsageError(f"source.path: {root}: no folders of people in it; put each person's photos into one")
    slugs = Slugs(ingest.catalog.sightings.names())
    for person, folder in people:
        slugs.claim(person, clean_name(folder.name) or person)
    slugs.check(f"source.path: {root}", "the folder")
    stored = ingest.catalog.consent.stored_in_folders()
    for person in stored.keys() - _slugs_in(root):
        ingest.mark_gone(person, sorted(stored[person]))
    with bar() as progress:
        for person, folder in people:
            if ingest.removed.person(person):
                continue
            files, unreadable = _files(folder)
            ingest.add_person(
                ListedPerson(person, clean_name(folder.name) or person, f"{_address(folder, root)}/", len(files))
            )
            ingest.stats.people += 1
            ingest.mark_gone(person, _gone(stored.get(person, set()), files, unreadable, root))
            settled = ingest.catalog.sightings.settled_pages(person)
            for file in unreadable:
                address = _address(file, root)
                ingest.record_no_photo(address, person, address, "failed", "unreadable")
            for name in progress.track(files, description=person):
                file = Path(name)
                address = _address(file, root)
                if address in settled:
                    ingest.stats.known += 1
                elif file.is_symlink() and not _is_inside(file, root):
                    ingest.record_no_photo(address, person, address, "refused", "outside")
                elif not _is_readable(file):
                    ingest.record_no_photo(address, person, address, "failed", "unreadable")
                else:
                    ingest.add_photo(file, address, person, address)
                ingest.commit(always=False)
    ingest.commit()


def _people(root: Path, source: FolderSource) -> list[tuple[str, Path]]:
    """The chosen people and their folders, in the order of the folders' names."""
    try:
        if not root.is_dir():
            raise UsageError(f"source.path: {root}: no such folder")
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UsageError(f"source.path: {root}: cannot be read ({error.strerror})") from error
    people: dict[str, Path] = {}
    for folder in folders:
        person = slug(folder.name)
        if folder.is_symlink() or not person:
            why = "it is a link" if folder.is_symlink() else "its name has no letters or digits"
            note(f"scrape: {_address(folder, root)} is skipped: {why}")
            continue
        other = people.setdefault(person, folder)
        if other is not folder:
            raise UsageError(f"{other} and {folder} are both '{person}' once normalised; rename one")
    chosen = [(person, folder) for person, folder in people.items() if not source.people or person in source.people]
    return chosen[: source.max_people]


def _slugs_in(root: Path) -> set[str]:
    return {slug(entry.name) for entry in root.iterdir()}


def _gone(stored: set[str], files: list[str], unreadable: list[Path], root: Path) -> list[str]:
    """Addresses of stored photos whose files are gone. Files in an unreadable folder may still exist."""
    missing = stored - {_address(Path(name), root) for name in files}
    hidden = tuple(f"{_address(folder, root)}/" for folder in unreadable)
    return sorted(address for address in missing if not address.startswith(hidden))


def _files(folder: Path) -> tuple[list[str], list[Path]]:
    """All files below a folder, sorted (as str: a million Paths are heavy), and the folders that cannot be read."""
    errors: list[OSError] = []
    files = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [file for name in names if not _is_litter(name) and _may_be_photo(file := f"{parent}/{name}")]
    return sorted(files), sorted(Path(os.fsdecode(error.filename)) for error in errors)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _may_be_photo(file: str) -> bool:
    """True for files and dangling links, not for a pipe or a device: reading one might never end."""
    # Not Path.is_file, which raises where a folder may be listed but not entered.
    return os.path.isfile(file) or not os.path.exists(file)  # noqa: PTH110, PTH113


def _is_inside(file: Path, root: Path) -> bool:
    # Not Path.resolve, which raises on circular links before Python 3.13.
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root))


def _is_readable(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            stream.read(1)
        return True
    except OSError:
        return False


def _address(path: Path, root: Path) -> str:
    """A file's address relative to `root`. Unprintable and undecodable characters are percent-encoded; a `%` only where
    it could be mistaken for such a code, so that no two files share an address."""
    shown = path.relative_to(root).as_posix()
    return "file:" + re.sub(r"%(?=[0-9A-Fa-f]{2})|[^\x20-\x7e]", _encode, shown)


def _encode(match: re.Match[str]) -> str:
    char = match[0]
    return char if char != "%" and char.isprintable() else quote_from_bytes(os.fsencode(char))

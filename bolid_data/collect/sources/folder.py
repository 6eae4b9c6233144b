"""A source on this machine: a folder with one folder of photos per person."""

import os
import re
from pathlib import Path
from urllib.parse import quote_from_bytes

from bolid_data.collect.ingest import Intake
from bolid_data.collect.slugs import Slugs
from bolid_data.errors import UsageError
from bolid_data.manifest import FolderSource
from bolid_data.names import clean_name, slug
from bolid_data.progress import bar, note
from bolid_data.records import Person

_LITTER = {"thumbs.db", "desktop.ini"}  # what Windows leaves in folders; others hide theirs behind a dot


def collect_folder(root: Path, source: FolderSource, intake: Intake) -> None:
    """Takes in every file below each person's folder, hidden ones left out.

    What is no photo is recorded as `broken`; a link to a file outside of `root` as `outside`; a file or folder that
    this user may not read as `unreadable`, and tried again the next time. Links to folders are not followed.
    A photo whose file was deleted since is gone from the dataset, too. Addresses are `file:<person's folder>/<file>`,
    so that a dataset does not say where on which machine it lay.
    """
    people = _people(root, source)
    if not people:
        raise UsageError(f"source.path: {root}: no folders of people in it; put each person's photos into one")
    slugs = Slugs(intake.catalog.sightings.names())
    for person, folder in people:
        slugs.take(person, clean_name(folder.name) or person)
    slugs.check(f"source.path: {root}", "the folder")
    before = intake.catalog.consent.stored_in_folders()
    for person in before.keys() - _slugs_in(root):
        intake.gone(person, sorted(before[person]))
    with bar() as progress:
        for person, folder in people:
            if intake.removed.person(person):
                continue
            files, closed = _files(folder)
            intake.person(Person(person, clean_name(folder.name) or person, f"{_address(folder, root)}/", len(files)))
            intake.tally.people += 1
            intake.gone(person, _gone(before.get(person, set()), files, closed, root))
            settled = intake.catalog.sightings.settled_pages(person)
            for file in closed:
                address = _address(file, root)
                intake.nothing(address, person, address, "failed", "unreadable")
            for name in progress.track(files, description=person):
                file = Path(name)
                address = _address(file, root)
                if address in settled:
                    intake.tally.known += 1
                elif file.is_symlink() and not _is_inside(file, root):
                    intake.nothing(address, person, address, "refused", "outside")
                elif not _is_readable(file):
                    intake.nothing(address, person, address, "failed", "unreadable")
                else:
                    intake.photo(file, address, person, address)
                intake.commit(always=False)
    intake.commit()


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
            note(f"scrape: {_address(folder, root)} is left out: {why}")
            continue
        other = people.setdefault(person, folder)
        if other is not folder:
            raise UsageError(f"{other} and {folder} are both '{person}' once normalised; rename one")
    chosen = [(person, folder) for person, folder in people.items() if not source.people or person in source.people]
    return chosen[: source.max_people]


def _slugs_in(root: Path) -> set[str]:
    return {slug(entry.name) for entry in root.iterdir()}


def _gone(before: set[str], files: list[str], closed: list[Path], root: Path) -> list[str]:
    """Addresses that had a photo and no longer have a file. What lies in a folder that is closed to us may be there."""
    missing = before - {_address(Path(name), root) for name in files}
    hidden = tuple(f"{_address(folder, root)}/" for folder in closed)
    return sorted(address for address in missing if not address.startswith(hidden))


def _files(folder: Path) -> tuple[list[str], list[Path]]:
    """Every file below a folder, sorted, as text because a million paths are heavy; and the folders that are closed."""
    errors: list[OSError] = []
    files = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [file for name in names if not _is_litter(name) and _may_be_photo(file := f"{parent}/{name}")]
    return sorted(files), sorted(Path(os.fsdecode(error.filename)) for error in errors)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _may_be_photo(file: str) -> bool:
    """Files, and links that lead nowhere. A pipe or a device is neither, and reading it might never end."""
    # Not Path.is_file: it raises where a folder may be listed and not entered.
    return os.path.isfile(file) or not os.path.exists(file)  # noqa: PTH110, PTH113


def _is_inside(file: Path, root: Path) -> bool:
    # Not Path.resolve: before Python 3.13 it raises on links that go in circles.
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root))


def _is_readable(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            stream.read(1)
        return True
    except OSError:
        return False


def _address(path: Path, root: Path) -> str:
    """Where a file lies below `root`. What cannot be printed or is no text is percent-encoded, the rest stays as it is;
    a `%` is encoded only where it could be taken for such a code, so no two files share an address."""
    shown = path.relative_to(root).as_posix()
    return "file:" + re.sub(r"%(?=[0-9A-Fa-f]{2})|[^\x20-\x7e]", _encode, shown)


def _encode(found: re.Match[str]) -> str:
    char = found[0]
    return char if char != "%" and char.isprintable() else quote_from_bytes(os.fsencode(char))

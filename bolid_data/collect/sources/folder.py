"""A local source: a folder with one folder of photos per person."""

import os
from collections import Counter
from pathlib import Path

from bolid_data.collect.ingest import Ingest
from bolid_data.collect.slugs import Slugs
from bolid_data.collect.sources.archives import Archived, unpacked
from bolid_data.collect.sources.people_folders import (
    Files,
    describe_others,
    find_people,
    list_files,
    loose_files,
    name_some,
)
from bolid_data.collect.sources.sidecars import Sidecar, read_sidecars
from bolid_data.errors import UsageError
from bolid_data.folder_address import to_address
from bolid_data.images import BrokenPhotoError
from bolid_data.manifest import FolderSource
from bolid_data.names import clean_name, slug
from bolid_data.progress import bar, note
from bolid_data.records import ListedPerson


def collect_folder(root: Path, source: FolderSource, ingest: Ingest) -> None:
    """Ingests every file below each person's folder, except hidden ones, and every photo in a zip archive there.

    A `.txt` beside a photo of the same name is its caption. A file that is not a photo by its name is recorded as
    `not_a_photo`, another that cannot be read as one as `broken`, a link to a file outside `root` as `outside`, and a
    file or folder that this user may not read as `unreadable`, which the next run tries again. Links to folders are not
    followed. A photo whose file has been deleted or now holds something else is gone; a file is read again if its size
    or its time of modification has changed.
    """
    people = choose_people(root, source)
    slugs = Slugs(ingest.catalog.sightings.names())
    for person, folder in people.items():
        slugs.claim(person, clean_name(folder.name) or person)
    slugs.check(f"source.path: {root}", "the folder")
    with_captions = ingest.catalog.captions.people_with_sidecars()
    caption_changes: Counter[str] = Counter()
    stored = ingest.catalog.consent.stored_in_folders()
    for person in stored.keys() - _slugs_in(root):
        ingest.mark_gone(person, sorted(stored[person]))
    others: list[str] = []
    with bar() as progress:
        task = progress.add_task("scrape", total=sum(len(list_files(folder).photos) for folder in people.values()))
        for person, folder in people.items():
            files = list_files(folder)
            if ingest.removed.person(person):
                progress.advance(task, len(files.photos))
                continue
            name, address = clean_name(folder.name) or person, f"{to_address(folder, root)}/"
            ingest.add_person(ListedPerson(person, name, address, len(files.photos)))
            ingest.stats.people += 1
            ingest.mark_gone(person, _gone(stored.get(person, set()), files, root))
            settled = ingest.catalog.sightings.settled_files(person)
            for path in files.unreadable:
                address = to_address(path, root)
                ingest.record_no_photo(address, person, address, "failed", "unreadable")
            for name in files.others:
                if (address := to_address(Path(name), root)) not in settled:
                    ingest.record_no_photo(address, person, address, "refused", "not_a_photo")
            others += files.others
            for name in files.photos:
                address, archived = to_address(Path(name), root), files.archived.get(name)
                file = archived.archive if archived else Path(name)
                validator = f"{_validator(file)}-{archived.crc}" if archived else _validator(file)
                if address in settled and (settled[address] == validator or not _is_readable(file)):
                    ingest.stats.known += 1
                elif file.is_symlink() and not _is_inside(file, root):
                    ingest.record_no_photo(address, person, address, "refused", "outside", etag=validator)
                elif not _is_readable(file):
                    ingest.record_no_photo(address, person, address, "failed", "unreadable")
                elif archived:
                    _add_archived(archived, address, person, validator, ingest)
                else:
                    ingest.add_photo(file, address, person, address, validator)
                progress.advance(task)
                ingest.commit(always=False)
            if files.sidecars or person in with_captions:
                ingest.commit()
                caption_changes.update(_record_captions(ingest, person, files.sidecars, root))
    ingest.commit()
    if caption_changes.total():
        changes = ", ".join(f"{count} {change}" for change, count in caption_changes.items() if count)
        note(f"scrape: captions in .txt files: {changes}")
    for line in describe_others(others, root):
        note(f"scrape: {line}")


def choose_people(root: Path, source: FolderSource) -> dict[str, Path]:
    """The chosen people's folders by slug, in the order of the folders' names. Notes what belongs to nobody.

    Raises UsageError where there are no people.
    """
    people, skipped = find_people(root)
    for folder, why in skipped:
        note(f"scrape: {to_address(folder, root)} is skipped: {why}")
    loose = loose_files(root)
    if not people:
        only = f", only {name_some([*loose.photos, *loose.others], root)}" if loose.photos or loose.others else ""
        advice = "".join(f"; {line}" for line in describe_others(loose.others, root))
        raise UsageError(
            f"source.path: {root}: no folders of people in it{only}; put each person's photos into one{advice}"
        )
    if loose.photos:
        note(
            f"scrape: {name_some(loose.photos, root)} {'lies' if len(loose.photos) == 1 else 'lie'} straight in {root} "
            "and belong to nobody; move them into a person's folder"
        )
    for line in describe_others(loose.others, root):
        note(f"scrape: {line}")
    chosen = [(person, folder) for person, folder in people.items() if not source.people or person in source.people]
    return dict(chosen[: source.max_people])


def _record_captions(ingest: Ingest, person: str, sidecars: list[Sidecar], root: Path) -> dict[str, int]:
    """Records the captions of a person's sidecar files. Returns how many are new, changed and removed."""
    captions = read_sidecars(sidecars, root, ingest.stats.warnings)
    rows = [
        {"url": to_address(Path(photo), root), "name": sidecar.name, "caption": caption}
        for sidecar, caption in captions for photo in sidecar.photos
    ]  # fmt: skip
    files = [to_address(Path(sidecar.file), root) for sidecar in sidecars]
    return ingest.catalog.captions.replace_sidecars(person, rows, files)


def _add_archived(photo: Archived, address: str, person: str, validator: str, ingest: Ingest) -> None:
    try:
        with unpacked(photo) as file:
            ingest.add_photo(file, address, person, address, validator)
    except BrokenPhotoError:
        ingest.record_no_photo(address, person, address, "refused", "broken", etag=validator)


def _slugs_in(root: Path) -> set[str]:
    return {slug(entry.name) for entry in root.iterdir()}


def _gone(stored: set[str], files: Files, root: Path) -> list[str]:
    """Addresses of stored photos whose files are gone. Files in an unreadable folder may still exist."""
    missing = stored - {to_address(Path(name), root) for name in [*files.photos, *files.others]}
    hidden = tuple(f"{to_address(folder, root)}/" for folder in files.unreadable)
    return sorted(address for address in missing if not address.startswith(hidden))


def _validator(file: Path) -> str:
    """What changes when a file is overwritten, without reading it: its size in bytes and its time of modification."""
    try:
        stat = file.stat()
    except OSError:
        return ""  # a dangling link
    return f"{stat.st_size}-{stat.st_mtime_ns}"


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

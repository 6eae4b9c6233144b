"""A source on this machine: a folder with one folder of photos per person."""

from collections.abc import Iterator
from pathlib import Path

from bolid_data.collect.intake import Intake
from bolid_data.errors import UsageError
from bolid_data.manifest import FolderSource
from bolid_data.names import slug
from bolid_data.progress import bar
from bolid_data.records import Person


def collect_folder(root: Path, source: FolderSource, intake: Intake) -> None:
    """Takes in every file below each person's folder; what is no photo is recorded as `broken`.

    Addresses are `file:<person's folder>/<file>`, so that a dataset does not say where on which machine it lay.
    """
    if not root.is_dir():
        raise UsageError(f"source.path: {root}: no such folder")
    people = list(_people(root, source))
    if not people:
        raise UsageError(f"source.path: {root}: no folders of people in it; put each person's photos into one")
    with bar() as progress:
        for person, folder in people:
            files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
            intake.person(Person(person, folder.name, f"file:{folder.name}/", len(files)))
            intake.tally.people += 1
            settled = intake.catalog.settled_pages(person)
            for file in progress.track(files, description=person):
                address = f"file:{file.relative_to(root).as_posix()}"
                if address in settled:
                    intake.tally.known += 1
                    continue
                intake.photo(file, address, person, address)
                intake.commit(always=False)
    intake.commit()


def _people(root: Path, source: FolderSource) -> Iterator[tuple[str, Path]]:
    folders: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        person = slug(folder.name)
        if folder.is_dir() and person and not folder.name.startswith("."):
            other = folders.setdefault(person, folder)
            if other is not folder:
                raise UsageError(f"{other} and {folder} are both '{person}' once normalised; rename one")
    chosen = [(person, folder) for person, folder in folders.items() if not source.people or person in source.people]
    yield from chosen[: source.max_people]

"""Removes a person from the exports inside a dataset's folder, and finds those outside."""

import os
import re
import tarfile
from collections.abc import Callable, Collection
from pathlib import Path

from bolid_data.catalog.exports import Export
from bolid_data.dataset import Dataset
from bolid_data.names import slug
from bolid_data.paths import inside, remove
from bolid_data.progress import note
from bolid_data.shards.exports.folder import MARKER, is_tar, photo_key, remove_photos, remove_tars
from bolid_data.shards.exports.layouts import LAYOUTS, WEBDATASET

Unwanted = Callable[[str], bool]


def remove_from_exports(dataset: Dataset, person: str, photos: Collection[str]) -> dict[str, list[str]]:
    """Removes a person and photos (sha256s) from exports inside the dataset's folder; tars that hold them go with the
    rest of their export. Returns those folders as `cleaned`, and as `elsewhere` the folders outside that hold photos of
    the person or may do so, which are not changed.

    Records that name the person are deleted.
    """
    digits = {sha256[:16] for sha256 in photos}

    def is_unwanted(key: str) -> bool:
        return key[:-17] == person or key[-16:] in digits

    cleaned, elsewhere, forgotten = [], [], []
    for export in dataset.catalog.exports.all():
        if export.published:
            if "://" in export.folder or Path(export.folder).exists():
                elsewhere.append(export.folder)
                note(
                    f"forget: {export.folder}: published, perhaps with the person (docs/publishing.md says what to do)"
                )
        elif not export.inside:
            if _may_hold(Path(export.folder), export, is_unwanted):
                elsewhere.append(export.folder)
                note(f"forget: {export.folder}: an export outside of the dataset, which you have to delete yourself")
        elif _clean(dataset.root, export, person, is_unwanted):
            cleaned.append(export.folder)
        if _names(export.folder, person):
            forgotten.append(export.folder)
    dataset.catalog.exports.discard(forgotten)
    return {"cleaned": cleaned, "elsewhere": elsewhere}


def _clean(root: Path, export: Export, person: str, unwanted: Unwanted) -> bool:
    """Returns whether anything was removed."""
    folder = inside(root, export.folder)
    if not folder.is_dir():
        return False
    if export.format == WEBDATASET:
        if not _holds_in_tars(folder, unwanted):
            return False
        remove_tars(folder)
        remove(folder, MARKER)
        note(f"forget: the tars in {folder} are removed; `bolid export` writes them without the person")
        return True
    removed = remove_photos(folder, lambda key, path: unwanted(key))
    for subfolder in folder.glob(f"*_{person}"):  # kohya's, with what else was put there
        if re.fullmatch(rf"[0-9]+_{re.escape(person)}", subfolder.name):
            remove(folder, subfolder.name)
    return removed > 0


def _may_hold(folder: Path, export: Export, unwanted: Unwanted) -> bool:
    if not folder.is_dir() or export.format not in (*LAYOUTS, WEBDATASET):
        return True
    if export.format == WEBDATASET:
        return _holds_in_tars(folder, unwanted)
    names = (name for _, _, files in os.walk(folder) for name in files)
    return any((key := photo_key(name)) and unwanted(key) for name in names)


def _holds_in_tars(folder: Path, unwanted: Unwanted) -> bool:
    for file in folder.iterdir():
        if is_tar(file.name):
            try:
                with tarfile.open(file) as tar:
                    if any((key := photo_key(member.name)) and unwanted(key) for member in tar):
                        return True
            except (tarfile.TarError, OSError):
                return True  # unknown
    return False


def _names(folder: str, person: str) -> bool:
    """Whether a part of a path is, or contains as a word, the person's slug."""
    return any(re.search(rf"(^|[_-]){re.escape(person)}($|[_-])", slug(part)) for part in Path(folder).parts)

"""What a folder of people holds: a folder of photos per person, and files that are not photos."""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from bolid_data.collect.sources.archives import Archived, list_archived
from bolid_data.collect.sources.sidecars import Sidecar, match_sidecar
from bolid_data.errors import UsageError
from bolid_data.names import slug
from bolid_data.printable import printable
from bolid_data.words import named

_LITTER = {"thumbs.db", "desktop.ini"}  # what Windows puts in folders; other systems use names with a leading dot

_NO_PHOTOS = {
    "a RAW file": (
        ".3fr .arw .cr2 .cr3 .crw .dng .erf .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw "
        ".x3f",
        "export a JPEG or TIFF of it with your photo software",
    ),
    "a video": (
        ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv",
        "save frames of it as JPEG to use them",
    ),
    "an archive": (".7z .bz2 .gz .rar .tar .tgz .xz .zip", "unpack it into the folder of the person"),
    "a document": (
        ".aae .caption .csv .doc .docx .htm .html .ini .json .log .md .npy .npz .pdf .rtf .safetensors .toml .txt .xls "
        ".xlsx .xml .xmp .yaml .yml",
        "",
    ),
}
"""Files that are known not to be photos: kind → their extensions, and what to do with them. A RAW photo is one of them
because what a decoder finds in it is a thumbnail."""

_KINDS = {extension: kind for kind, (extensions, _) in _NO_PHOTOS.items() for extension in extensions.split()}


@dataclass
class Files:
    """The files below a folder, sorted; as str, because a million Paths are heavy."""

    photos: list[str] = field(default_factory=list)  # everything that may be one
    others: list[str] = field(default_factory=list)
    sidecars: list[Sidecar] = field(default_factory=list)  # captions
    unreadable: list[Path] = field(default_factory=list)  # folders
    archived: dict[str, Archived] = field(default_factory=dict)  # those of `photos` that are in zip archives


def find_people(root: Path) -> tuple[dict[str, Path], list[tuple[Path, str]]]:
    """The folder of each person by slug, in the order of the folders' names; and the folders that are nobody's, each
    with the reason.

    Raises UsageError where `root` cannot be read, or two folders give one slug.
    """
    try:
        if not root.is_dir():
            raise UsageError(f"source.path: {root}: no such folder")
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UsageError(f"source.path: {root}: cannot be read ({error.strerror})") from error
    people: dict[str, Path] = {}
    skipped = []
    for folder in folders:
        person = slug(folder.name)
        if folder.is_symlink() or not person:
            skipped.append((folder, "it is a link" if folder.is_symlink() else "its name has no letters or digits"))
            continue
        other = people.setdefault(person, folder)
        if other is not folder:
            raise UsageError(f"{other} and {folder} are both '{person}' once normalised; rename one")
    return people, skipped


def list_files(folder: Path) -> Files:
    """The files below a folder, except hidden ones."""
    errors: list[OSError] = []
    files = Files()
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        _sort_in(files, parent, names)
    files.photos.sort()
    files.others.sort()
    files.sidecars.sort(key=lambda sidecar: sidecar.file)
    files.unreadable = sorted(Path(os.fsdecode(error.filename)) for error in errors)
    return files


def loose_files(root: Path) -> Files:
    """The files straight in a folder of people, which belong to nobody."""
    files = Files()
    _sort_in(files, str(root), sorted(entry.name for entry in os.scandir(root) if not entry.is_dir()))
    return files


def describe_others(others: list[str], root: Path) -> list[str]:
    """One line for each kind of file that is not a photo: the names, and what to do with them."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for file in others:
        by_kind[_KINDS[PurePath(file).suffix.lower()]].append(file)
    lines = []
    for kind, (_, advice) in _NO_PHOTOS.items():
        if files := by_kind.get(kind):
            lines.append(f"{name_some(files, root)}: not a photo" + (f" but {kind}; {advice}" if advice else ""))
    return lines


def name_some(files: list[str], root: Path) -> str:
    """The first files by their names below `root`, and how many more there are."""
    return named([printable(os.path.relpath(file, root)) for file in files])


def _sort_in(files: Files, parent: str, names: list[str]) -> None:
    """Adds the files of one folder."""
    photos: dict[str, list[str]] = defaultdict(list)  # by name without the extension
    for name in sorted(names):
        if not _kind(name):
            photos[PurePath(name).stem].append(f"{parent}/{name}")
    for name in names:
        file = f"{parent}/{name}"
        if name.startswith(".") or name.lower() in _LITTER or not _may_be_read(file):
            continue
        if not _kind(name):
            files.photos.append(file)
        elif archived := list_archived(file, lambda inner: not _kind(inner)) if name.lower().endswith(".zip") else {}:
            files.photos += archived
            files.archived |= archived
        elif sidecar := match_sidecar(file, photos):
            files.sidecars.append(sidecar)
        else:
            files.others.append(file)


def _kind(name: str) -> str | None:
    return _KINDS.get(PurePath(name).suffix.lower())


def _may_be_read(file: str) -> bool:
    """True for files and dangling links, not for a pipe or a device: reading one might never end."""
    # Not Path.is_file, which raises where a folder may be listed but not entered.
    return os.path.isfile(file) or not os.path.exists(file)  # noqa: PTH110, PTH113

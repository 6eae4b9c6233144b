"""`bolid caption --set`, `--import` and `--export`: captions by hand, and as one `.txt` file per photo."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bolid_data.atomic_io import write_files
from bolid_data.caption_text import EXTENSION, CaptionFileError, read_caption, to_caption, with_trigger
from bolid_data.catalog.caption_files import CaptionFile
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.folder_address import to_address, to_path
from bolid_data.manifest import Manifest
from bolid_data.paths import inside
from bolid_data.progress import note
from bolid_data.words import counted

T = TypeVar("T")

_SHOWN = 10
_PER_COMMIT = 5000
_PEOPLE_PER_QUERY = 16
_DIGITS = re.compile(r"(?:^|-)([0-9a-f]{16})(?:[0-9a-f]{48})?$")
_NAMED = re.compile(r"(.*)\.([a-z0-9_]{1,40})")


def set_caption(manifest: Manifest, dataset: Dataset, photo: str, text: str, name: str | None) -> dict[str, Any]:
    """Captions a photo by hand; an empty text takes the caption by hand back. Raises UsageError for an unknown photo,
    or text that is no caption."""
    ((sha256, caption),) = set_captions(manifest, dataset, {photo: text}, name).items()
    note(f"caption: {photo} ({sha256[:8]}) {'is captioned by hand' if caption else 'has no caption by hand any more'}")
    return {"sha256": sha256, "caption": caption or None, "name": _name(manifest, name)}


def set_captions(
    manifest: Manifest, dataset: Dataset, texts: Mapping[str, str], name: str | None = None
) -> dict[str, str]:
    """The same for many photos, by any of their names, in one commit. Returns the captions by sha256."""
    _prepare(manifest, dataset)
    sha256s = dataset.catalog.photo_names.find_all(list(texts))
    captions = {}
    for photo, text in texts.items():
        try:
            captions[sha256s[photo]] = to_caption(text)
        except CaptionFileError as error:
            raise UsageError(f"--set {photo}: the caption {error}") from None
    dataset.catalog.captions.write(captions, _name(manifest, name))
    return captions


def import_captions(manifest: Manifest, dataset: Dataset, folder: Path, name: str | None) -> dict[str, Any]:
    """Reads the `.txt` files below a folder as captions by hand. A file that says what the photo's caption says already
    changes nothing.

    A file belongs to the photo at the same place in the source's folder (`anna/1.txt`, `anna/1.tags.txt` for the
    caption named `tags`), or to the one whose sha256 begins with the last 16 digits of its name. Raises UsageError if
    the folder is missing, BolidError if no file belongs to a photo.
    """
    _prepare(manifest, dataset)
    if not folder.is_dir():
        raise UsageError(f"--import {folder}: no such folder")
    files = sorted(file for file in folder.rglob(f"*{EXTENSION}") if not file.name.startswith("."))
    counts, unmatched = {"imported": 0, "unchanged": 0}, []
    for batch in _parts(files, _PER_COMMIT):
        rows = [row for file in batch for row in _readings(file, folder, _name(manifest, name))]
        matches = dataset.catalog.caption_files.match(rows, manifest.caption.use) if rows else []
        changed: dict[str, dict[str, str]] = {}
        for row in matches:
            earlier = row["earlier"]
            if earlier is not None and row["caption"] in (earlier, with_trigger(earlier, manifest.caption.trigger)):
                counts["unchanged"] += 1
            else:
                changed.setdefault(row["name"], {})[row["sha256"]] = row["caption"]
        for caption_name, captions in changed.items():
            dataset.catalog.captions.write(captions, caption_name)
            counts["imported"] += len(captions)
        unmatched += sorted({row["file"] for row in rows} - {row["file"] for row in matches})
    for file in unmatched[:_SHOWN]:
        note(f"caption: {file}: belongs to no photo of this dataset")
    if len(unmatched) > _SHOWN:
        more = counted(len(unmatched) - _SHOWN, "more file belongs", "more files belong")
        note(f"caption: {more} to no photo")
    if not any(counts.values()):
        raise BolidError(
            f"--import {folder}: no .txt file in it belongs to a photo; they are named like the photos in the source's "
            "folder, or as `bolid caption --export` names them"
        )
    note(f"caption: {counted(counts['imported'], 'caption')} imported, {counts['unchanged']} as before")
    return counts | {"unmatched": len(unmatched)}


def export_captions(manifest: Manifest, dataset: Dataset, folder: Path, name: str | None) -> dict[str, Any]:
    """Writes the caption of each kept photo to a `.txt` file: where the photo is in the source's folder, or
    `<person>/<person>-<first 16 digits of its sha256>.txt`. The trigger word is left out.

    Raises BolidError, before anything is written, for files that exist and say something else; UsageError for a folder
    inside the dataset's.
    """
    if folder.resolve().is_relative_to(dataset.root.resolve()):
        raise UsageError(f"--export {folder}: is inside the dataset's folder; name a folder for files that you edit")
    _prepare(manifest, dataset)
    captions = list(_captions(dataset, name))
    if not captions:
        raise BolidError("no kept photo has such a caption; run `bolid caption` first")
    different = [file for caption in captions if _differs(file := caption_path(folder, caption), caption.caption)]
    if different:
        others = f" and {len(different) - 1} others" if different[1:] else ""
        raise BolidError(
            f"{different[0]}{others}: exist with other text than the captions; `bolid caption --import` takes it over, "
            "or name another folder"
        )
    dataset.catalog.exports.record(folder, "captions")
    for batch in _parts(captions, _PER_COMMIT):
        files = {caption_path(folder, caption): f"{caption.caption}\n".encode() for caption in batch}
        write_files({file: text for file, text in files.items() if not file.exists()})
    note(f"caption: {counted(len(captions), 'caption')} in {folder}")
    return {"exported": len(captions), "folder": str(folder)}


def caption_path(folder: Path, caption: CaptionFile) -> Path:
    """The file of a photo's caption. Raises BolidError for an address that leads out of the folder."""
    name = to_path(caption.stem) if caption.stem else f"{caption.person}/{caption.person}-{caption.sha256[:16]}"
    return inside(folder, f"{name}{EXTENSION}")


def _prepare(manifest: Manifest, dataset: Dataset) -> None:
    dataset.catalog.require()
    dataset.prepare()
    dataset.catalog.captions.choose(manifest.caption.use, manifest.caption.trigger)


def _name(manifest: Manifest, name: str | None) -> str:
    return manifest.caption.use if name is None else name


def _captions(dataset: Dataset, name: str | None) -> Iterator[CaptionFile]:
    people = [row["person"] for row in dataset.catalog.summary() if row["kept"]]
    for group in _parts(people, _PEOPLE_PER_QUERY):
        yield from dataset.catalog.caption_files.of(group, name)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _differs(file: Path, caption: str) -> bool:
    if not file.exists():
        return False
    try:
        return read_caption(file, file.parent) != caption
    except CaptionFileError:
        return True


def _readings(file: Path, folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The ways to read a file's name, best first; none if it holds no caption."""
    shown = str(file.relative_to(folder))
    try:
        caption = read_caption(file, folder)
    except CaptionFileError as error:
        note(f"caption: {shown}: {error}; it is not used as a caption")
        return
    stem = file.with_name(file.name[: -len(EXTENSION)])
    readings = [(stem, name)]
    if named := _NAMED.fullmatch(stem.name):
        readings.append((stem.with_name(named[1]), named[2]))
    for rank, (photo, caption_name) in enumerate(readings if caption else ()):
        digits = _DIGITS.search(photo.name)
        yield {
            "file": shown, "rank": rank, "stem": to_address(photo, folder), "digits": digits and digits[1],
            "name": caption_name, "caption": caption,
        }  # fmt: skip

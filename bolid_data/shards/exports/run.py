"""`bolid export`: writes kept photos and their captions as another tool reads them."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from bolid_data import words
from bolid_data.atomic_io import make_folder, replace, sync, write_files
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.fields import MAX_TRIGGER
from bolid_data.images import PIXELS_VERSION
from bolid_data.manifest import Manifest
from bolid_data.names import slug
from bolid_data.paths import remove
from bolid_data.printable import printable
from bolid_data.progress import bar, note
from bolid_data.shards.exports import folder as folders
from bolid_data.shards.exports.layouts import FORMATS, LAYOUTS, METADATA, WEBDATASET, Layout
from bolid_data.shards.jpeg import Jpeg
from bolid_data.shards.samples import (
    kept_photos,
    map_ahead,
    note_lost_photos,
    people_with_photos,
    photo_key,
    read_jpeg,
    samples,
)
from bolid_data.shards.write import split_of
from bolid_data.shards.writer import ShardWriter
from bolid_data.store import LostPhotoError

_RESERVED = {"photos", "shards", "features", "runs", "evaluation", "report"}
_BATCH_FILES, _BATCH_BYTES = 400, 64 << 20
_NEW = ".new"


@dataclass(frozen=True)
class Request:
    """`people` are names or slugs, none for everybody; `trigger` is the trigger word, None for the manifest's."""

    format: str
    folder: Path
    people: Sequence[str] = ()
    repeats: int = 1
    trigger: str | None = None
    links: bool = False


def export(manifest: Manifest, dataset: Dataset, request: Request) -> dict[str, Any]:
    """Writes kept, captioned photos to a folder. An earlier export there is brought up to date: photos that are no
    longer kept are removed first, and files that are there already are not written again.

    Raises UsageError for a folder that holds something else, BolidError if there is nothing to export or captions are
    missing, and, after the rest is exported, if photos have lost their bytes. The result's `usage` is what to run or to
    configure next.
    """
    _check(request)
    dataset.catalog.require()
    dataset.prepare()
    dataset.catalog.captions.choose(manifest.caption.use, manifest.caption.trigger)
    people = _choose(people_with_photos(dataset), request.people)
    _refuse_reserved(dataset.root, request.folder)
    options = {
        "name": manifest.name, "format": request.format, "links": request.links, "pixels": PIXELS_VERSION,
        "background": manifest.filter.background,
    }  # fmt: skip
    folders.begin(request.folder, options)
    dataset.catalog.exports.record(request.folder, request.format)
    splits = {person: split_of(person, manifest.shards.splits, manifest.seed) for person in people}
    people.sort(key=lambda person: (splits[person], person))
    if request.format == WEBDATASET:
        count, usage = _write_tars(manifest, dataset, request, people, splits)
    else:
        layout = LAYOUTS[request.format]
        writer = _Writer(dataset, request, layout, splits, manifest.filter.background)
        count, usage = writer.write(people), layout.usage(request.folder.resolve())
    note(f"export: {words.photos(count)} of {words.people(len(people))} in {request.folder}")
    return {
        "format": request.format, "folder": str(request.folder), "photos": count, "people": len(people), "usage": usage,
    }  # fmt: skip


def _check(request: Request) -> None:
    if request.format not in FORMATS:
        raise UsageError(f"--to {request.format}: no such format; name one of {', '.join(FORMATS)}")
    if request.repeats > 1 and request.format != "kohya":
        raise UsageError(
            f"--repeats: only kohya's folders have them; set them in the configuration of {request.format}"
        )
    trigger = " ".join((request.trigger or "").split())
    if printable(trigger) != (request.trigger or "") or len(trigger) > MAX_TRIGGER:
        raise UsageError("--trigger: must be a word, or a few on one line")
    if request.links and request.format == WEBDATASET:
        raise UsageError("--links: a tar holds copies; use it with another format")


def _choose(people: list[str], names: Sequence[str]) -> list[str]:
    if unknown := [name for name in names if name not in people and slug(name) not in people]:
        raise UsageError(f"--person {unknown[0]}: nobody with kept photos has this name; `bolid status` lists them")
    return [person for person in people if person in {*names, *map(slug, names)}] if names else people


def _refuse_reserved(root: Path, folder: Path) -> None:
    root, folder = root.resolve(), folder.resolve()
    if folder.is_relative_to(root):
        first = next(iter(folder.relative_to(root).parts), ".")
        if first in _RESERVED or first.startswith("."):
            raise UsageError(f"{folder}: bolid keeps its own files there; name another folder, such as {root}/export")


@dataclass
class _Batch:
    files: dict[Path, bytes] = field(default_factory=dict)
    links: dict[Path, Path] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.files) + len(self.links) >= _BATCH_FILES or sum(map(len, self.files.values())) >= _BATCH_BYTES

    def write(self) -> None:
        write_files(self.files)
        for path, target in self.links.items():
            make_folder(path.parent)
            part = path.with_name(f".{path.name}.part")
            part.unlink(missing_ok=True)
            part.symlink_to(target)
            part.replace(path)
        self.files, self.links = {}, {}


class _Writer:
    """Writes one file per photo."""

    def __init__(
        self, dataset: Dataset, request: Request, layout: Layout, splits: dict[str, str], background: str
    ) -> None:
        self._dataset, self._request, self._layout = dataset, request, layout
        self._splits, self._background = splits, background
        self._batch = _Batch()
        self._lost: dict[str, str] = {}

    def write(self, people: Sequence[str]) -> int:
        """Writes people's photos. Returns how many there are. Raises BolidError if photos have lost their bytes."""
        keys = self._dataset.catalog.samples.keys(people)
        folders.remove_photos(self._request.folder, lambda key, path: key not in keys or self._is_misplaced(key, path))
        rows = kept_photos(self._dataset, people, self._request.trigger)
        written = 0
        with ExitStack() as stack, bar() as progress:
            metadata = _MetadataFiles(stack)
            for row, jpeg in progress.track(map_ahead(self._read, rows), total=len(keys), description="export"):
                if isinstance(jpeg, LostPhotoError):
                    self._lost[row["sha256"]] = jpeg.problem
                    continue
                self._add(row, jpeg, metadata)
                written += 1
                if self._batch.is_full:
                    self._batch.write()
            self._batch.write()
            metadata.finish()
        note_lost_photos(self._dataset, "export", self._lost, "The others are exported")
        return written

    def _folder(self, person: str) -> Path:
        subfolder = self._layout.subfolder(person, self._splits[person], self._request.repeats)
        return self._request.folder / subfolder

    def _is_misplaced(self, key: str, path: str) -> bool:
        """Whether a photo or caption is where an export with other `repeats` or splits put it."""
        person, file = key[:-17], self._request.folder / path
        return file.suffix in (".jpg", ".txt") and file.parent != self._folder(person)

    def _read(self, row: dict[str, Any]) -> tuple[dict[str, Any], Jpeg | LostPhotoError | None]:
        """A row with its JPEG; None if its file is there already."""
        image = self._folder(row["person"]) / f"{photo_key(row['person'], row['sha256'])}.jpg"
        if image.exists():
            return row, None
        return row, read_jpeg(self._dataset, row["sha256"], self._background, row["rotation"])

    def _add(self, row: dict[str, Any], jpeg: Jpeg | None, metadata: "_MetadataFiles") -> None:
        image = self._folder(row["person"]) / f"{photo_key(row['person'], row['sha256'])}.jpg"
        if jpeg and self._request.links and jpeg.made == "as_is":
            self._batch.links[image] = self._dataset.store.find(row["sha256"]).resolve()
        elif jpeg:
            self._batch.files[image] = jpeg.data
        if self._layout.metadata:
            line = {"file_name": image.name, "text": row["caption"], "person": row["person"]}
            metadata.add(image.parent / METADATA, line)
            return
        caption, text = image.with_suffix(".txt"), f"{row['caption']}\n".encode()
        if not (caption.exists() and caption.read_bytes() == text):
            self._batch.files[caption] = text


class _MetadataFiles:
    """Growing metadata.jsonl files, put in place together once all photos are written."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._files: dict[Path, TextIO] = {}

    def add(self, path: Path, line: dict[str, str]) -> None:
        if path not in self._files:
            make_folder(path.parent)
            self._files[path] = self._stack.enter_context(_part(path).open("w", encoding="utf-8"))
        self._files[path].write(json.dumps(line, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        for path, file in self._files.items():
            file.close()
            replace(_part(path), path)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


class _NoIndex:
    """Tars that are handed on have no index."""

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        pass


def _write_tars(
    manifest: Manifest, dataset: Dataset, request: Request, people: list[str], splits: dict[str, str]
) -> tuple[int, str]:
    """Writes tars aside, as `bolid shard` packs them, and moves them into place. Returns the number of photos, and what
    comes next."""
    lost: dict[str, str] = {}
    new = request.folder / _NEW
    remove(request.folder, _NEW)
    make_folder(new)
    writer = ShardWriter(new, manifest.shards.max_size, _NoIndex())
    encoded = samples(dataset, people, manifest.filter.background, lost, request.trigger)
    by_person = groupby(encoded, key=lambda sample: sample.row["person"])
    with bar() as progress:
        for person, person_samples in progress.track(by_person, total=len(people), description="export"):
            writer.begin(splits[person])
            for sample in person_samples:
                writer.add(sample)
    tars = writer.close()
    names = [entry["shard"] for entry in tars]
    for name in names:
        sync(new / name)
        (new / name).replace(request.folder / name)
    folders.remove_tars(request.folder, names)
    remove(request.folder, _NEW)
    note_lost_photos(dataset, "export", lost, "The others are exported")
    urls = ", ".join(f'"{request.folder.resolve() / name}"' for name in names[:3]) + (", …" if names[3:] else "")
    return sum(entry["samples"] for entry in tars), f"webdataset.WebDataset([{urls}])"

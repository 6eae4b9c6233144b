"""`bolid repair`: builds a lost or damaged catalog again from the lock, its measurements and the photo store."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bolid_data import words
from bolid_data.atomic_io import replace, sync
from bolid_data.catalog import Catalog
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import BrokenPhotoError, read_header
from bolid_data.lockfile import Lock, LockedPhoto, read_lock
from bolid_data.lost_photos import note_lost, record_lost
from bolid_data.progress import bar, note
from bolid_data.records import ListedPerson, Sighting, StoredPhoto
from bolid_data.shards.rebuild import import_measurements
from bolid_data.store import LostPhotoError
from bolid_data.weights import file_sha256

_BATCH = 1000
_NOT_RESTORED = (
    "addresses that gave no photo, and why: the next `bolid scrape` tries them again",
    "the progress of an unfinished crawl, and which hosts requested to be left alone",
    "which folders were exported to: `bolid forget` no longer cleans or names them",
    "when each photo was fetched, and with which status and validators",
    "who made a decision by hand, and the log of earlier ones (those in force are in the measurements)",
)
"""What only the catalog holds."""


@dataclass
class _Photos:
    """The photos of a lock as they are in the store."""

    rows: list[StoredPhoto] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)  # what is wrong, by sha256
    unknown: int = 0  # files of photos that the lock does not pin


def repair(dataset: Dataset, nobody_removed: bool = False) -> dict[str, Any]:
    """Builds the catalog again if it is missing or damaged; a readable one is left as it is. The damaged one is kept
    beside the new one. Returns what was restored.

    Raises BolidError if the file of removals is missing too, unless `nobody_removed` states that there were none.
    """
    damage = dataset.catalog.damage()
    if damage is None:
        note(f"repair: {dataset.catalog.path} is readable, and is left as it is")
        return {"repaired": False, "damage": None}
    note(f"repair: {dataset.catalog.path}: {damage}")
    fresh = Dataset(dataset.root)
    fresh.catalog = Catalog(dataset.root / f".{dataset.catalog.path.name}.part")
    _remove_catalog(fresh.catalog.path)
    if dataset.catalog.path.exists() and dataset.catalog.copy_rows(fresh.catalog.path):
        _put_in_place(fresh.catalog.path, dataset.catalog.path)
        note("repair: every row could be read and was copied; nothing is lost")
        return {"repaired": True, "damage": damage, "copied": True}
    _remove_catalog(fresh.catalog.path)
    if not dataset.removal_file.path.exists() and not nobody_removed:
        raise BolidError(
            f"{dataset.removal_file.path}: missing, so it is unknown who was forgotten or opted out; restore it from "
            "a backup, or, if nobody was, use --nobody-removed"
        )
    dataset.removal_file.create()
    lock = _lock(dataset)
    fresh.prepare()
    photos = _find_photos(dataset, lock)
    if lock:
        _import(fresh, lock, photos)
    record_lost(fresh.catalog, fresh.store, photos.lost)
    fresh.discard_opted_out()
    _put_in_place(fresh.catalog.path, dataset.catalog.path)
    return _report(dataset, lock, photos, damage)


def _lock(dataset: Dataset) -> Lock | None:
    try:
        return read_lock(dataset.lock)
    except BolidError as error:
        note(f"repair: {error}")
        note("repair: without lock and measurements, only the next `bolid scrape` can determine whose the photos are")
        return None


def _find_photos(dataset: Dataset, lock: Lock | None) -> _Photos:
    """Hashes every photo in the store."""
    pinned = {photo.sha256: photo for photo in lock.photos} if lock else {}
    photos = _Photos()
    files = list(dataset.store.files())
    photos.unknown = sum(file.stem not in pinned for file in files)
    with bar() as progress:
        for photo in progress.track(pinned.values(), total=len(pinned), description="repair"):
            try:
                photos.rows.append(_stored(photo, dataset.store.read(photo.sha256)))
            except LostPhotoError as error:
                photos.rows.append(StoredPhoto(photo.sha256, photo.format or "", 0, 0, photo.bytes or 0))
                photos.lost[photo.sha256] = error.problem
    return photos


def _stored(photo: LockedPhoto, data: bytes) -> StoredPhoto:
    try:
        header = read_header(data)
    except BrokenPhotoError:  # whoever decodes it reports that
        return StoredPhoto(photo.sha256, photo.format or "", 0, 0, len(data))
    return StoredPhoto(photo.sha256, header.format, header.width, header.height, len(data), " ".join(header.traits))


def _import(fresh: Dataset, lock: Lock, photos: _Photos) -> None:
    """Imports people, photos and sightings from the lock, and measurements and verdicts from its measurements file."""
    removed = fresh.removed()
    people = [
        ListedPerson(row.person, row.name, row.url or "", row.listed_photos)
        for row in lock.people if not removed.person(row.person)
    ]  # fmt: skip
    rows = [row for row in photos.rows if not removed.photo(row.sha256)]
    sightings = [sighting for photo in lock.photos if not removed.photo(photo.sha256) for sighting in _sightings(photo)]
    sightings = [row for row in sightings if not removed.person(row.person) and not removed.address(row.url)]
    fresh.catalog.sightings.record(people)
    for start in range(0, max(len(rows), len(sightings)), _BATCH):
        fresh.catalog.sightings.record([], rows[start : start + _BATCH], sightings[start : start + _BATCH])
    import_measurements(lock, fresh.catalog)
    fresh.catalog.decisions.record_lock(file_sha256(fresh.lock))


def _sightings(photo: LockedPhoto) -> Iterator[Sighting]:
    for row in photo.sightings:
        page = row.page_url or (row.url if row.url.startswith("file:") else "")
        yield Sighting(row.url, row.person, page, "stored", photo.sha256, consent="allowed")


def _put_in_place(fresh: Path, catalog: Path) -> None:
    """Sets the damaged catalog aside; its write-ahead log must not be replayed over the new one."""
    for path in (catalog, _wal(catalog)):
        if path.exists():
            names = (path.with_name(f"{catalog.name}.damaged{'' if path == catalog else '.wal'}-{n}") for n in count(1))
            path.rename(next(name for name in names if not name.exists()))
    sync(catalog.parent)
    replace(fresh, catalog)


def _remove_catalog(path: Path) -> None:
    for file in (path, _wal(path)):
        file.unlink(missing_ok=True)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _report(dataset: Dataset, lock: Lock | None, photos: _Photos, damage: str) -> dict[str, Any]:
    people = len(lock.people) if lock else 0
    restored = len(photos.rows) - len(photos.lost)
    back = f"{words.people(people)} and {words.photos(restored)}"
    note(f"repair: {back} came back, with measurements, verdicts and captions")
    note_lost("repair", photos.lost)
    if photos.unknown:
        note(
            f"repair: {photos.unknown} files in {dataset.store.root} are not in the lock: the next `bolid scrape` "
            "determines whose they are, without fetching those of a folder again"
        )
    cut = Counter(bool(s.left_out) for photo in lock.photos for s in photo.sightings)[True] if lock else 0
    not_restored = [*_NOT_RESTORED]
    if cut:
        not_restored.append(f"what was secret in {cut} addresses: the next `bolid scrape` fetches their photos again")
    for item in not_restored:
        note(f"repair: cannot be restored: {item}")
    note("repair: run `bolid dataset` to continue")
    return {
        "repaired": True,
        "damage": damage,
        "copied": False,
        "people": people,
        "photos": restored,
        "lost_photos": len(photos.lost),
        "unknown_files": photos.unknown,
        "not_restored": not_restored,
    }

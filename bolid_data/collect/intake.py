"""Where every source's finds come in: files are recognised, put into the store, and committed in batches."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bolid_data.catalog import Catalog
from bolid_data.images import BrokenPhotoError, read_header
from bolid_data.records import Person, Sighting, StoredPhoto
from bolid_data.store import Store
from bolid_data.weights import file_sha256

BATCH = 64
INTERVAL = 2.0
"""Seconds after which an unfinished batch is committed."""


@dataclass
class Tally:
    """What a run of a source did, for its summary."""

    people: int = 0
    skipped_people: int = 0
    new: int = 0
    known: int = 0
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # why an address gave no photo -> addresses
    errors: list[str] = field(default_factory=list)  # what stopped a branch of the crawl

    def count(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Intake:
    """Takes files in, one at a time or from many tasks, and commits them to store and catalog together."""

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self.catalog, self.store, self.tally = catalog, store, Tally()
        self._batch = _Batch()
        self._saving = asyncio.Lock()

    def person(self, person: Person) -> None:
        self._batch.people.append(person)

    def photo(
        self,
        file: Path,
        url: str,
        person: str,
        page_url: str,
        sha256: str | None = None,
        status: int | None = None,
    ) -> None:
        """Takes in one file; its bytes go to the store unless they are no photo. The file itself stays where it is,
        unless it waits in the store's inbox: then it is taken out once committed."""
        if file.parent == self.store.inbox:
            self._batch.waiting.append(file)
        try:
            header = read_header(file)
        except BrokenPhotoError:
            return self.nothing(url, person, page_url, "refused", "broken", status)
        sha256 = sha256 or file_sha256(file)
        size = file.stat().st_size
        self.store.keep(file, sha256, header.extension)
        self._batch.photos.append(StoredPhoto(sha256, header.format, header.width, header.height, size))
        self._batch.sightings.append(Sighting(url, person, page_url, "stored", sha256, status, None, _now()))
        self.tally.new += 1
        self.tally.bytes += size

    def nothing(self, url: str, person: str, page_url: str, state: str, reason: str, status: int | None = None) -> None:
        """Records an address that gave no photo, and why."""
        self._batch.sightings.append(Sighting(url, person, page_url, state, None, status, reason, _now()))
        self.tally.count(reason)

    def commit(self, always: bool = True) -> None:
        """Commits what came in since the last time; after it nothing of that can be lost."""
        if batch := self._take(always):
            self._save(batch)

    async def commit_beside(self, always: bool = False) -> None:
        """The same beside running downloads, and only a batch that is full or old, unless `always`."""
        # Taken here, in the loop's own thread, so that no photo is split between two batches.
        if batch := self._take(always):
            async with self._saving:
                await asyncio.to_thread(self._save, batch)

    def _take(self, always: bool) -> "_Batch | None":
        if not (always or self._batch.due()):
            return None
        batch, self._batch = self._batch, _Batch()
        return batch

    def _save(self, batch: "_Batch") -> None:
        if batch.people or batch.sightings:
            self.catalog.record(batch.people, batch.photos, batch.sightings)
        for file in batch.waiting:
            file.unlink(missing_ok=True)


@dataclass
class _Batch:
    people: list[Person] = field(default_factory=list)
    photos: list[StoredPhoto] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    waiting: list[Path] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        return len(self.sightings) >= BATCH or time.monotonic() - self.since > INTERVAL


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)

"""Checks the files of every source, adds them to the store, and commits them to the catalog in batches."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bolid_data.atomic_io import sync_files
from bolid_data.catalog import utc_now
from bolid_data.collect.log import log
from bolid_data.collect.stats import CrawlStats
from bolid_data.dataset import Dataset
from bolid_data.formats import USUAL_FORMATS
from bolid_data.images import BrokenPhotoError, inspect_quickly, is_quick, read_upright
from bolid_data.records import ListedPerson, ReadPage, Sighting, StoredPhoto, Validators
from bolid_data.weights import file_sha256

BATCH = 1000
INTERVAL = 2.0
"""Seconds after which an unfinished batch is committed."""
THREAD_MIN_BYTES = 1_000_000
"""Size from which a download is checked in a thread instead of the event loop."""
_RECENT = 4 * BATCH


class Ingest:
    """Ingests files, one at a time or from many tasks, and commits them to store and catalog together."""

    def __init__(self, dataset: Dataset, formats: Sequence[str] = USUAL_FORMATS) -> None:
        """`dataset` must be prepared; photos in other formats than `formats` are recorded as broken."""
        self.formats = formats
        self.dataset, self.catalog, self.store, self.stats = dataset, dataset.catalog, dataset.store, CrawlStats()
        self.removed = dataset.removed()
        self._batch = _Batch()
        self._commit_lock = asyncio.Lock()
        self._recent: OrderedDict[str, Sighting] = OrderedDict()

    def add_person(self, person: ListedPerson) -> None:
        self._batch.people.append(person)

    def add_page(self, page: ReadPage) -> None:
        self._batch.pages.append(page)

    def add_listing(self, person: str, photo_pages: list[str]) -> None:
        """Records the complete list of photo pages of a person on a site: the person's other photos are gone."""
        self._batch.listed.append((person, photo_pages))

    def add_photo(self, file: Path, url: str, person: str, page_url: str, etag: str | None = None) -> bool:
        """Copies a local file to the store if it is a photo. Returns whether it was."""
        kept = self._keep(file)
        assert kept is not None, "None is returned only with decode=False"
        return self._record(kept, Sighting(url, person, page_url, "stored", etag=etag))

    async def add_download(self, file: Path, url: str, person: str, page_url: str, validators: Validators) -> bool:
        """Adds a file of the inbox; it is removed from there once it is committed."""
        # Checking most photos takes less time than handing them to a thread. Nothing is decoded in the event loop.
        quick = file.stat().st_size <= THREAD_MIN_BYTES and is_quick(file)
        kept = self._keep(file, decode=False) if quick else None
        if kept is None:
            kept = await asyncio.to_thread(self._keep, file)
        self._batch.waiting.append(file)
        sighting = Sighting(
            url, person, page_url, "stored", http_status=200, consent="allowed", etag=validators.etag,
            last_modified=validators.last_modified,
        )  # fmt: skip
        assert kept is not None, "None is returned only with decode=False"
        return self._record(kept, sighting)

    def _keep(self, file: Path, decode: bool = True) -> "_Kept | str | None":
        """Adds a photo to the store, or returns the reason why not; None where it must be decoded to decide."""
        try:
            header, complete = inspect_quickly(file, self.formats)
            if not complete:
                if not decode:
                    return None
                read_upright(file)
        except BrokenPhotoError:
            return "broken"
        sha256 = file_sha256(file)
        if reason := self.removed.photo(sha256):
            return reason
        new = self.store.add(file, sha256, header.extension)
        size = file.stat().st_size
        photo = StoredPhoto(sha256, header.format, header.width, header.height, size, " ".join(header.traits))
        return _Kept(photo, new, self.store.path(sha256, header.extension))

    def _record(self, kept: "_Kept | str", sighting: Sighting) -> bool:
        if isinstance(kept, str):
            state = "opted_out" if kept == "opted_out" else "refused"
            self.record_no_photo(
                sighting.url, sighting.person, sighting.page_url, state, kept, sighting.http_status, etag=sighting.etag
            )
            return False
        self._batch.photos.append(kept.photo)
        self._batch.stored.add(kept.file)
        log(sighting.url, "of %s: stored as %s", sighting.person, kept.photo.sha256)
        self._sight(replace(sighting, sha256=kept.photo.sha256, fetched_at=utc_now()))
        if kept.new:
            self.stats.new += 1
            self.stats.bytes += kept.photo.bytes
        else:  # the same bytes at another address
            self.stats.known += 1
        return True

    def record_no_photo(
        self,
        url: str,
        person: str,
        page_url: str,
        state: str,
        reason: str,
        status: int | None = None,
        consent: str | None = None,
        etag: str | None = None,
    ) -> None:
        """Records an address that yielded no photo, and why."""
        self._sight(Sighting(url, person, page_url, state, None, status, reason, utc_now(), consent, etag))
        log(url, "of %s: no photo: %s", person, reason)
        self.stats.count_reason(reason)

    def record_repeat(self, url: str, person: str, page_url: str) -> bool:
        """Records a recently ingested address for another person, too; False where it was not recent."""
        if sighting := self._recent.get(url):
            self._sight(replace(sighting, person=person, page_url=page_url))
            if sighting.reason:
                self.stats.count_reason(sighting.reason)
            else:
                self.stats.known += 1
        return sighting is not None

    def opted_out_before(self, url: str, person: str, page_url: str) -> bool:
        """Records an address that was opted out before, even in a catalog that was lost; False for any other."""
        if self.removed.address(url) is None and self.removed.address(page_url) is None:
            return False
        self.record_no_photo(url, person, page_url, "opted_out", "opted_out", consent="opted out before")
        return True

    async def opt_out_person(self, person: str, consent: str) -> None:
        """Opts out all photos of a person, whose page now says so."""
        await self.commit_async(always=True)
        urls = await asyncio.to_thread(self.catalog.consent.opt_out_person, person, consent)
        if urls:
            await asyncio.to_thread(self.dataset.discard_opted_out, urls)
            self.stats.opted_out += len(urls)

    def mark_gone(self, person: str, urls: Sequence[str]) -> None:
        """Marks photos that a person's folder no longer has."""
        if urls:
            self.stats.gone += self.catalog.consent.mark_gone(person, urls)

    def add_sighting(self, sighting: Sighting) -> None:
        """Adds a sighting of a photo that is in the store."""
        self._batch.sightings.append(sighting)

    def _sight(self, sighting: Sighting) -> None:
        self._batch.sightings.append(sighting)
        self._recent[sighting.url] = sighting
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def commit(self, always: bool = True) -> None:
        """Commits what was added since the last commit, durably. Unless `always`, only a batch that is full or old."""
        if batch := self._take(always):
            self._save(batch)

    async def commit_async(self, always: bool = False) -> None:
        """The same in a thread, while downloads go on."""
        if not (always or self._batch.due()):
            return
        async with self._commit_lock:
            # Taken in the event loop's thread, so that no photo is split between two batches.
            if batch := self._take(always):
                await asyncio.to_thread(self._save, batch)

    def _take(self, always: bool) -> "_Batch | None":
        if not (always or self._batch.due()):
            return None
        batch, self._batch = self._batch, _Batch()
        return batch

    def _save(self, batch: "_Batch") -> None:
        # Before the catalog records them; also files that were there before, as a killed run did not sync them.
        sync_files(file for file in batch.stored if file.exists())
        if batch.people or batch.sightings or batch.pages or batch.listed:
            gone = self.catalog.sightings.record(batch.people, batch.photos, batch.sightings, batch.pages, batch.listed)
            self.stats.gone += gone
        for file in batch.waiting:
            file.unlink(missing_ok=True)
        if opted_out := [sighting.url for sighting in batch.sightings if sighting.state == "opted_out"]:
            self.dataset.discard_opted_out(opted_out)


@dataclass(frozen=True)
class _Kept:
    photo: StoredPhoto
    new: bool
    file: Path


@dataclass
class _Batch:
    people: list[ListedPerson] = field(default_factory=list)
    photos: list[StoredPhoto] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    pages: list[ReadPage] = field(default_factory=list)
    listed: list[tuple[str, list[str]]] = field(default_factory=list)
    waiting: list[Path] = field(default_factory=list)
    stored: set[Path] = field(default_factory=set)
    since: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        return len(self.sightings) + len(self.pages) >= BATCH or time.monotonic() - self.since > INTERVAL

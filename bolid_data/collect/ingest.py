"""Where every source's finds come in: files are recognised, put into the store, and committed in batches."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bolid_data.atomic_io import sync_files
from bolid_data.catalog import utc_now
from bolid_data.collect.stats import Tally
from bolid_data.dataset import Dataset
from bolid_data.formats import USUAL_FORMATS
from bolid_data.images import BrokenPhotoError, inspect_quickly, is_quick, read_upright
from bolid_data.records import Person, ReadPage, Sighting, StoredPhoto, Validators
from bolid_data.weights import file_sha256

BATCH = 1000
INTERVAL = 2.0
"""Seconds after which an unfinished batch is committed."""
LARGE = 1_000_000
"""Bytes from which a download is looked at beside the loop."""
_REMEMBERED = 4 * BATCH


class Intake:
    """Takes files in, one at a time or from many tasks, and commits them to store and catalog together."""

    def __init__(self, dataset: Dataset, formats: Sequence[str] = USUAL_FORMATS) -> None:
        """Of a dataset that is prepared; photos of other `formats` are broken."""
        self.formats = formats
        self.dataset, self.catalog, self.store, self.tally = dataset, dataset.catalog, dataset.store, Tally()
        self.removed = dataset.removed()
        self._batch = _Batch()
        self._saving = asyncio.Lock()
        self._recent: OrderedDict[str, Sighting] = OrderedDict()

    def person(self, person: Person) -> None:
        self._batch.people.append(person)

    def page(self, page: ReadPage) -> None:
        self._batch.pages.append(page)

    def listed(self, person: str, photo_pages: list[str]) -> None:
        """Says which photo pages a site lists of a person, all of them: other photos of theirs are gone."""
        self._batch.listed.append((person, photo_pages))

    def photo(self, file: Path, url: str, person: str, page_url: str) -> bool:
        """Takes in a file of this machine; its bytes go to the store unless they are no photo. The file stays.
        Returns whether they did."""
        kept = self._keep(file)
        assert kept is not None, "only without decoding it may not be known"
        return self._record(kept, Sighting(url, person, page_url, "stored"))

    async def download(self, file: Path, url: str, person: str, page_url: str, validators: Validators) -> bool:
        """Takes in a file that waits in the inbox; it is taken out of it once it is committed."""
        # Most photos are looked at in less time than it takes to hand them to a thread. Nothing is decoded in the loop.
        quick = file.stat().st_size <= LARGE and is_quick(file)
        kept = self._keep(file, decode=False) if quick else None
        if kept is None:
            kept = await asyncio.to_thread(self._keep, file)
        self._batch.waiting.append(file)
        sighting = Sighting(
            url, person, page_url, "stored", http_status=200, consent="allowed", etag=validators.etag,
            last_modified=validators.last_modified,
        )  # fmt: skip
        assert kept is not None, "only without decoding it may not be known"
        return self._record(kept, sighting)

    def _keep(self, file: Path, decode: bool = True) -> "_Kept | str | None":
        """Puts a photo's bytes into the store, or says why not; None where it has to be decoded to know."""
        try:
            header, whole = inspect_quickly(file, self.formats)
            if not whole:
                if not decode:
                    return None
                read_upright(file)
        except BrokenPhotoError:
            return "broken"
        sha256 = file_sha256(file)
        if why := self.removed.photo(sha256):
            return why
        new = self.store.keep(file, sha256, header.extension)
        size = file.stat().st_size
        photo = StoredPhoto(sha256, header.format, header.width, header.height, size, " ".join(header.traits))
        return _Kept(photo, new, self.store.path(sha256, header.extension))

    def _record(self, kept: "_Kept | str", sighting: Sighting) -> bool:
        if isinstance(kept, str):
            state = "opted_out" if kept == "opted_out" else "refused"
            self.nothing(sighting.url, sighting.person, sighting.page_url, state, kept, sighting.http_status)
            return False
        self._batch.photos.append(kept.photo)
        self._batch.stored.add(kept.file)
        self._sight(replace(sighting, sha256=kept.photo.sha256, fetched_at=utc_now()))
        if kept.new:
            self.tally.new += 1
            self.tally.bytes += kept.photo.bytes
        else:  # the same bytes at another address
            self.tally.known += 1
        return True

    def nothing(
        self,
        url: str,
        person: str,
        page_url: str,
        state: str,
        reason: str,
        status: int | None = None,
        consent: str | None = None,
    ) -> None:
        """Records an address that gave no photo, and why."""
        self._sight(Sighting(url, person, page_url, state, None, status, reason, utc_now(), consent))
        self.tally.count(reason)

    def same(self, url: str, person: str, page_url: str) -> bool:
        """Records that an address seen a moment ago is also this person's; False when it was not."""
        if known := self._recent.get(url):
            self._sight(replace(known, person=person, page_url=page_url))
            if known.reason:
                self.tally.count(known.reason)
            else:
                self.tally.known += 1
        return known is not None

    def opted_out_before(self, url: str, person: str, page_url: str) -> bool:
        """Records an address that was opted out, be it in a catalog that is lost; False for any other."""
        if self.removed.address(url) is None and self.removed.address(page_url) is None:
            return False
        self.nothing(url, person, page_url, "opted_out", "opted_out", consent="opted out before")
        return True

    async def opt_out_person(self, person: str, consent: str) -> None:
        """Opts out all that was collected of a person, whose page now says so."""
        await self.commit_beside(always=True)
        urls = await asyncio.to_thread(self.catalog.consent.opt_out_person, person, consent)
        if urls:
            await asyncio.to_thread(self.dataset.discard_opted_out, urls)
            self.tally.opted_out += len(urls)

    def gone(self, person: str, urls: Sequence[str]) -> None:
        """Marks photos that a person's folder no longer has."""
        if urls:
            self.tally.gone += self.catalog.consent.mark_gone(person, urls)

    def again(self, sighting: Sighting) -> None:
        """Records a sighting of a photo that the store has."""
        self._batch.sightings.append(sighting)

    def _sight(self, sighting: Sighting) -> None:
        self._batch.sightings.append(sighting)
        self._recent[sighting.url] = sighting
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)

    def commit(self, always: bool = True) -> None:
        """Commits what came in since the last time; after it nothing of that can be lost."""
        if batch := self._take(always):
            self._save(batch)

    async def commit_beside(self, always: bool = False) -> None:
        """The same beside running downloads, and only a batch that is full or old, unless `always`."""
        if not (always or self._batch.due()):
            return
        async with self._saving:
            # Taken here, in the loop's own thread, so that no photo is split between two batches.
            if batch := self._take(always):
                await asyncio.to_thread(self._save, batch)

    def _take(self, always: bool) -> "_Batch | None":
        if not (always or self._batch.due()):
            return None
        batch, self._batch = self._batch, _Batch()
        return batch

    def _save(self, batch: "_Batch") -> None:
        # Before the catalog vouches for them. Also those that were there already: a run that was killed synced nothing.
        sync_files(file for file in batch.stored if file.exists())
        if batch.people or batch.sightings or batch.pages or batch.listed:
            gone = self.catalog.sightings.record(batch.people, batch.photos, batch.sightings, batch.pages, batch.listed)
            self.tally.gone += gone
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
    people: list[Person] = field(default_factory=list)
    photos: list[StoredPhoto] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    pages: list[ReadPage] = field(default_factory=list)
    listed: list[tuple[str, list[str]]] = field(default_factory=list)
    waiting: list[Path] = field(default_factory=list)
    stored: set[Path] = field(default_factory=set)
    since: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        return len(self.sightings) + len(self.pages) >= BATCH or time.monotonic() - self.since > INTERVAL

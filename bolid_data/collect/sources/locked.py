"""A source that is a lock: each photo from the first of its addresses that still gives the pinned bytes."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from bolid_data.catalog import Catalog
from bolid_data.collect.download import Downloader
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Intake
from bolid_data.collect.photo_fetch import Visitor, work
from bolid_data.lockfile import PinnedPhoto, PinnedSighting
from bolid_data.manifest import WebSource
from bolid_data.public_address import public_address
from bolid_data.records import Sighting, StoredPhoto, Validators
from bolid_data.weights import file_sha256

FILE = "file:"
_BATCH = 1000
_SETTLED = {"changed", "broken", "forgotten"}


class PinnedList:
    """Fetches what is pinned and not here yet. What is settled is looked up batch by batch, as in a `UrlList`."""

    def __init__(
        self,
        photos: list[PinnedPhoto],
        folder: Path | None,
        source: WebSource,
        fetcher: Fetcher,
        intake: Intake,
        whole: Mapping[tuple[str, str], list[str]] | None = None,
        allow_local: bool = False,
    ) -> None:
        """`whole` has addresses with what the lock left out of them, by person and by the lock's address."""
        self._whole, self._allow_local = whole or {}, allow_local
        self._busy: dict[str, asyncio.Lock] = {}
        self._sha256s: dict[str, str] = {}  # of photos that are another's, by the address they came from
        self.photos, self.source, self.fetcher, self.intake = photos, source, fetcher, intake
        self._folder = Path(os.path.realpath(folder)) if folder else None
        self._visitor = Visitor(fetcher, intake)
        self._downloader = Downloader(fetcher, intake.store)

    async def run(self) -> None:
        self.intake.tally.expected = len(self.photos)
        # More tasks than one host may have requests: those that wait for their host do not hold up the others.
        await work(self._left(), self._find, min(8 * self.source.concurrency, 512))
        await self.intake.commit_beside(always=True)

    async def _left(self) -> AsyncIterator[tuple[PinnedPhoto, list[PinnedSighting]]]:
        """Photos that are not here yet, with their addresses that are worth asking, each once."""
        for batch in batches(self.photos):
            stored, known = await asyncio.to_thread(known_of, self.intake.catalog, batch)
            for photo in batch:
                if photo.sha256 in stored or _opted_out(photo, known):
                    self.intake.tally.known += photo.sha256 in stored
                    self.intake.tally.visited += 1
                    continue
                each = {sighting.url: sighting for sighting in reversed(photo.sightings)}
                places = [each[url] for url in dict.fromkeys(s.url for s in photo.sightings)]
                left = [s for s in places if s.left_out or not (s.url in known and _settled(known[s.url]))]
                yield photo, [whole for place in left for whole in self._completed(place)]

    def _completed(self, place: PinnedSighting) -> list[PinnedSighting]:
        """The places that an address stands for: with what was left out of it, where a list tells, or as it is."""
        urls = self._whole.get((place.person, place.url), []) if place.left_out else []
        return [place.model_copy(update={"url": url}) for url in urls] or [place]

    async def _find(self, item: tuple[PinnedPhoto, list[PinnedSighting]]) -> None:
        """Stores a photo, or records of each of its addresses why it does not give it."""
        photo, places = item
        places = [p for p in places if not self.intake.opted_out_before(p.url, p.person, _page_url(p))]
        misses: list[_Miss] = []
        if not await self._store(photo, places, misses):
            for miss in misses:
                self._visitor.refused(miss.error, _pinned_url(miss.place), miss.place.person, _page_url(miss.place))
        if downloads := [miss.download for miss in misses if miss.download]:
            # Committed before the files go, so that a kill between the two does not fetch them again.
            await self.intake.commit_beside(always=True)
            for file in downloads:
                file.unlink()
        tally = self.intake.tally
        tally.visited += 1
        tally.requests, tally.received = self.fetcher.requests, self.fetcher.received
        await self.intake.commit_beside()

    async def _store(self, photo: PinnedPhoto, places: list[PinnedSighting], misses: list["_Miss"]) -> bool:
        """Whether a place gave the photo, or its bytes at least; those that did not are added to `misses`."""
        for place in places:
            # Photos whose addresses differ in what was left out alone have the same places: one of them at a time.
            async with self._busy.setdefault(place.url, asyncio.Lock()) if place.left_out else nullcontext():
                if self._sha256s.get(place.url, photo.sha256) != photo.sha256:
                    continue
                try:
                    found = await (self._read(place) if place.url.startswith(FILE) else self._fetch(place))
                except FetchError as error:
                    misses.append(_Miss(place, error))
                    if error.reason == "opted_out":
                        return False  # who does not want it used does not want it taken from elsewhere
                    continue
                if found.sha256 == photo.sha256:
                    await self._take(found, photo, place)
                    return True
                changed = FetchError(place.url, "changed", final=True)
                if place.left_out:
                    self._sha256s[place.url] = found.sha256
                    found.file.unlink(missing_ok=True)
                    misses.append(_Miss(place, changed))
                else:
                    misses.append(_Miss(place, changed, found.file if found.validators else None))
        return False

    async def _fetch(self, place: PinnedSighting) -> "_Found":
        """Asks the photo's page for consent, as the first crawl did, and fetches the photo. Raises FetchError."""
        if self._allow_local:
            self.fetcher.own(place.url)
        if place.page_url:
            await self.fetcher.page(place.page_url, "utf-8", links=False)
        download = await self._downloader.get(place.url)
        return _Found(download.file, await asyncio.to_thread(file_sha256, download.file), download.validators)

    async def _read(self, place: PinnedSighting) -> "_Found":
        """The photo in the folder that was named for it. Raises FetchError."""
        assert self._folder, "checked before anything is fetched"
        file = _local(self._folder, place.url)
        try:
            return _Found(file, await asyncio.to_thread(file_sha256, file))
        except FileNotFoundError:
            raise FetchError(place.url, "missing") from None
        except OSError as error:
            raise FetchError(place.url, "unreadable") from error

    async def _take(self, found: "_Found", photo: PinnedPhoto, place: PinnedSighting) -> None:
        seen_at = (place.url, place.person, _page_url(place))
        if found.validators is None:
            stored = self.intake.photo(found.file, *seen_at)
        else:
            stored = await self.intake.download(found.file, *seen_at, found.validators)
        if not stored:
            return  # this machine cannot read what the other could
        for other in photo.sightings:
            if (other.url, other.person) != (_pinned_url(place), place.person):
                other = self._completed(other)[0]
                seen = Sighting(other.url, other.person, _page_url(other), "stored", photo.sha256)
                self.intake.again(seen)


@dataclass(frozen=True)
class _Found:
    """What a place gives: a file of this machine, or, with validators, one in the inbox."""

    file: Path
    sha256: str
    validators: Validators | None = None


@dataclass(frozen=True)
class _Miss:
    """A place that did not give its photo, why, and the file that it gave instead."""

    place: PinnedSighting
    error: FetchError
    download: Path | None = None


def _local(folder: Path, address: str) -> Path:
    """Where a `file:` address lies. Raises FetchError where that is outside of the folder, or no plain file."""
    try:
        file = os.path.realpath(folder / os.fsdecode(unquote_to_bytes(address.removeprefix(FILE))))
    except ValueError:
        raise FetchError(address, "bad_address", final=True) from None
    if not Path(file).is_relative_to(folder):
        raise FetchError(address, "outside", final=True)
    # Not Path.exists: it raises where a folder may be listed and not entered.
    if os.path.exists(file) and not os.path.isfile(file):  # noqa: PTH110, PTH113
        raise FetchError(address, "unreadable")  # a pipe: reading it might never end
    return Path(file)


def _settled(sighting: Sighting) -> bool:
    """Whether asking again would cost a photo's bytes; an opt-out ends the search for its photo altogether."""
    return sighting.reason in _SETTLED and not sighting.url.startswith(FILE)


def _pinned_url(place: PinnedSighting) -> str:
    """The address as the lock has it."""
    return public_address(place.url)[0] if place.left_out else place.url


def _page_url(place: PinnedSighting) -> str:
    return place.page_url or (place.url if place.url.startswith(FILE) else "")


def batches(photos: list[PinnedPhoto]) -> Iterator[list[PinnedPhoto]]:
    for start in range(0, len(photos), _BATCH):
        yield photos[start : start + _BATCH]


def known_of(catalog: Catalog, batch: list[PinnedPhoto]) -> tuple[dict[str, StoredPhoto], dict[str, Sighting]]:
    """What the catalog says of a batch: its stored photos, and by address what came of the others."""
    stored = catalog.sightings.photos_by_sha256([photo.sha256 for photo in batch])
    sighted = catalog.sightings.sighted([sighting.url for photo in batch for sighting in photo.sightings])
    return stored, {sighting.url: sighting for sighting in sighted}


def _opted_out(photo: PinnedPhoto, known: dict[str, Sighting]) -> bool:
    return any(s.url in known and known[s.url].state == "opted_out" for s in photo.sightings)

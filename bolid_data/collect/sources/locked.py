"""A lock as a source: each photo is fetched from the first of its addresses that still yields the locked bytes."""

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
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.photo_fetch import PhotoFetcher, run_workers
from bolid_data.lockfile import LockedPhoto, LockedSighting
from bolid_data.manifest import WebSource
from bolid_data.public_address import public_address
from bolid_data.records import Sighting, StoredPhoto, Validators
from bolid_data.weights import file_sha256

FILE = "file:"
_BATCH = 1000
_SETTLED = {"changed", "broken", "forgotten"}


class LockedList:
    """Fetches the locked photos that are missing. Settled addresses are looked up batch by batch, as in `UrlList`."""

    def __init__(
        self,
        photos: list[LockedPhoto],
        folder: Path | None,
        source: WebSource,
        fetcher: Fetcher,
        ingest: Ingest,
        full_addresses: Mapping[tuple[str, str], list[str]] | None = None,
        allow_local: bool = False,
    ) -> None:
        """`full_addresses` have the secrets that the lock leaves out; they are by person and the lock's address."""
        self._full_addresses, self._allow_local = full_addresses or {}, allow_local
        self._busy: dict[str, asyncio.Lock] = {}
        self._sha256s: dict[str, str] = {}  # of the photos that addresses without secrets yielded instead
        self.photos, self.source, self.fetcher, self.ingest = photos, source, fetcher, ingest
        self._folder = Path(os.path.realpath(folder)) if folder else None
        self._photo_fetcher = PhotoFetcher(fetcher, ingest)
        self._downloader = Downloader(fetcher, ingest.store)

    async def run(self) -> None:
        self.ingest.stats.expected, self.ingest.stats.all_listed = len(self.photos), True
        # More tasks than one host may have requests, so that tasks that wait for a host do not hold up the others.
        await run_workers(self._missing(), self._fetch_photo, min(8 * self.source.concurrency, 512))
        await self.ingest.commit_async(always=True)

    async def _missing(self) -> AsyncIterator[tuple[LockedPhoto, list[LockedSighting]]]:
        """The photos that are missing, each with its sightings to try, one per address."""
        for batch in batches(self.photos):
            stored, recorded = await asyncio.to_thread(look_up_batch, self.ingest.catalog, batch)
            for photo in batch:
                if photo.sha256 in stored or _opted_out(photo, recorded):
                    self.ingest.stats.known += photo.sha256 in stored
                    self.ingest.stats.visited += 1
                    continue
                by_url = {sighting.url: sighting for sighting in reversed(photo.sightings)}
                sightings = [by_url[url] for url in dict.fromkeys(s.url for s in photo.sightings)]
                to_try = [s for s in sightings if s.left_out or not (s.url in recorded and _settled(recorded[s.url]))]
                yield photo, [full for sighting in to_try for full in self._with_secrets(sighting)]

    def _with_secrets(self, sighting: LockedSighting) -> list[LockedSighting]:
        """A sighting under each of its full addresses, where they are known, or unchanged."""
        urls = self._full_addresses.get((sighting.person, sighting.url), []) if sighting.left_out else []
        return [sighting.model_copy(update={"url": url}) for url in urls] or [sighting]

    async def _fetch_photo(self, item: tuple[LockedPhoto, list[LockedSighting]]) -> None:
        """Stores a photo, or records for each of its addresses why it failed."""
        photo, sightings = item
        sightings = [s for s in sightings if not self.ingest.opted_out_before(s.url, s.person, _page_url(s))]
        misses: list[_Miss] = []
        if not await self._store(photo, sightings, misses):
            for miss in misses:
                self._photo_fetcher.record_failure(
                    miss.error, _locked_url(miss.sighting), miss.sighting.person, _page_url(miss.sighting)
                )
        if downloads := [miss.download for miss in misses if miss.download]:
            # Committed before the files are deleted, so that a kill in between does not fetch them again.
            await self.ingest.commit_async(always=True)
            for file in downloads:
                file.unlink()
        stats = self.ingest.stats
        stats.visited += 1
        stats.requests, stats.received = self.fetcher.requests, self.fetcher.received
        await self.ingest.commit_async()

    async def _store(self, photo: LockedPhoto, sightings: list[LockedSighting], misses: list["_Miss"]) -> bool:
        """Whether a sighting yielded the photo's bytes; the sightings that did not are added to `misses`."""
        for sighting in sightings:
            # Photos whose addresses differ only in their secrets share sightings: only one photo at a time tries them.
            async with self._busy.setdefault(sighting.url, asyncio.Lock()) if sighting.left_out else nullcontext():
                if self._sha256s.get(sighting.url, photo.sha256) != photo.sha256:
                    continue
                try:
                    candidate = await (self._read(sighting) if sighting.url.startswith(FILE) else self._fetch(sighting))
                except FetchError as error:
                    misses.append(_Miss(sighting, error))
                    if error.reason == "opted_out":
                        return False  # an opt-out holds for the photo's other addresses, too
                    continue
                if candidate.sha256 == photo.sha256:
                    await self._ingest(candidate, photo, sighting)
                    return True
                changed = FetchError(sighting.url, "changed", final=True)
                if sighting.left_out:
                    self._sha256s[sighting.url] = candidate.sha256
                    candidate.file.unlink(missing_ok=True)
                    misses.append(_Miss(sighting, changed))
                else:
                    misses.append(_Miss(sighting, changed, candidate.file if candidate.validators else None))
        return False

    async def _fetch(self, sighting: LockedSighting) -> "_Candidate":
        """Checks the photo's page for an opt-out, as the first crawl did, and fetches the photo. Raises FetchError."""
        if self._allow_local:
            self.fetcher.allow_private(sighting.url)
        if sighting.page_url:
            await self.fetcher.page(sighting.page_url, "utf-8", links=False)
        download = await self._downloader.get(sighting.url)
        return _Candidate(download.file, await asyncio.to_thread(file_sha256, download.file), download.validators)

    async def _read(self, sighting: LockedSighting) -> "_Candidate":
        """Reads the photo from the folder of `--folder`. Raises FetchError."""
        assert self._folder, "checked before anything is fetched"
        file = _local(self._folder, sighting.url)
        try:
            return _Candidate(file, await asyncio.to_thread(file_sha256, file))
        except FileNotFoundError:
            raise FetchError(sighting.url, "missing") from None
        except OSError as error:
            raise FetchError(sighting.url, "unreadable") from error

    async def _ingest(self, candidate: "_Candidate", photo: LockedPhoto, sighting: LockedSighting) -> None:
        origin = (sighting.url, sighting.person, _page_url(sighting))
        if candidate.validators is None:
            stored = self.ingest.add_photo(candidate.file, *origin)
        else:
            stored = await self.ingest.add_download(candidate.file, *origin, candidate.validators)
        if not stored:
            return  # this machine cannot decode what the other could
        for other in photo.sightings:
            if (other.url, other.person) != (_locked_url(sighting), sighting.person):
                other = self._with_secrets(other)[0]
                row = Sighting(other.url, other.person, _page_url(other), "stored", photo.sha256)
                self.ingest.add_sighting(row)


@dataclass(frozen=True)
class _Candidate:
    """The file that a sighting yields: a local one or, with validators, one in the inbox."""

    file: Path
    sha256: str
    validators: Validators | None = None


@dataclass(frozen=True)
class _Miss:
    """A sighting that did not yield its photo, why, and the file that it yielded instead."""

    sighting: LockedSighting
    error: FetchError
    download: Path | None = None


def _local(folder: Path, address: str) -> Path:
    """The path of a `file:` address. Raises FetchError where it is outside the folder or not a regular file."""
    try:
        file = os.path.realpath(folder / os.fsdecode(unquote_to_bytes(address.removeprefix(FILE))))
    except ValueError:
        raise FetchError(address, "bad_address", final=True) from None
    if not Path(file).is_relative_to(folder):
        raise FetchError(address, "outside", final=True)
    # Not Path.exists, which raises where a folder may be listed but not entered.
    if os.path.exists(file) and not os.path.isfile(file):  # noqa: PTH110, PTH113
        raise FetchError(address, "unreadable")  # a pipe: reading it might never end
    return Path(file)


def _settled(sighting: Sighting) -> bool:
    """Whether an address need not be tried again: another request would only download the same bytes."""
    return sighting.reason in _SETTLED and not sighting.url.startswith(FILE)


def _locked_url(sighting: LockedSighting) -> str:
    """The address as in the lock."""
    return public_address(sighting.url)[0] if sighting.left_out else sighting.url


def _page_url(sighting: LockedSighting) -> str:
    return sighting.page_url or (sighting.url if sighting.url.startswith(FILE) else "")


def batches(photos: list[LockedPhoto]) -> Iterator[list[LockedPhoto]]:
    for start in range(0, len(photos), _BATCH):
        yield photos[start : start + _BATCH]


def look_up_batch(catalog: Catalog, batch: list[LockedPhoto]) -> tuple[dict[str, StoredPhoto], dict[str, Sighting]]:
    """The catalog's rows for a batch: stored photos by sha256, and sightings by address."""
    stored = catalog.sightings.photos_by_sha256([photo.sha256 for photo in batch])
    sightings = catalog.sightings.at_addresses([sighting.url for photo in batch for sighting in photo.sightings])
    return stored, {sighting.url: sighting for sighting in sightings}


def _opted_out(photo: LockedPhoto, recorded: dict[str, Sighting]) -> bool:
    return any(s.url in recorded and recorded[s.url].state == "opted_out" for s in photo.sightings)

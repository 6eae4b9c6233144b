"""Checks the addresses of stored photos again: what was opted out, what is gone, what has changed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.photo_fetch import run_workers
from bolid_data.manifest import UrlsSource, WebSource
from bolid_data.records import Sighting, Validators

_BATCH = 1000
_GONE = {404, 410}


class Recheck:
    """Checks all sightings of stored photos: the headers of each photo, the meta elements of its page, the host's
    rules. New opt-outs become sightings of state `opted_out`, and the judge takes their photos out."""

    def __init__(self, source: WebSource, encoding: str, fetcher: Fetcher, ingest: Ingest) -> None:
        self.source, self.encoding, self.fetcher, self.ingest = source, encoding, fetcher, ingest
        self._opted_out: list[Sighting] = []
        self._gone: list[Sighting] = []

    async def run(self) -> None:
        await run_workers(self._stored(), self._ask, self.source.concurrency)
        await self._commit()

    async def _stored(self) -> AsyncIterator[Sighting]:
        last = ("", "")
        while batch := await asyncio.to_thread(self.ingest.catalog.sightings.stored_sightings, last, _BATCH):
            last = (batch[-1].url, batch[-1].person)
            self.ingest.stats.expected += len(batch)
            for sighting in batch:
                yield sighting
            await self._commit()

    async def _ask(self, sighting: Sighting) -> None:
        stats = self.ingest.stats
        if isinstance(self.source, UrlsSource) and self.source.allow_local:
            self.fetcher.allow_private(sighting.url)
        try:
            now = await self.fetcher.head(sighting.url)
            if "://" in sighting.page_url:
                await self.fetcher.page(sighting.page_url, self.encoding, links=False)
        except FetchError as error:
            if error.reason == "opted_out":
                self._opted_out.append(replace(sighting, state="opted_out", reason="opted_out", consent=error.consent))
                stats.opted_out += 1
            elif error.status in _GONE and error.url == sighting.url:
                self._gone.append(sighting)
                stats.gone += 1
            else:
                stats.count_reason(error.reason)
        else:
            same = now == Validators(sighting.etag, sighting.last_modified)
            stats.unchanged += same
            stats.changed += not same
        stats.visited += 1
        stats.requests, stats.received = self.fetcher.requests, self.fetcher.received

    async def _commit(self) -> None:
        opted_out, self._opted_out = self._opted_out, []
        gone, self._gone = self._gone, []
        await asyncio.to_thread(self.ingest.catalog.sightings.update, opted_out, gone)
        if opted_out:
            await asyncio.to_thread(self.ingest.dataset.discard_opted_out, [sighting.url for sighting in opted_out])

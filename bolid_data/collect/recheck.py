"""Asks the owners of stored photos again: who has opted out since, what is gone, what has changed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Intake
from bolid_data.collect.photo_fetch import work
from bolid_data.manifest import UrlsSource, WebSource
from bolid_data.records import Sighting, Validators

_BATCH = 1000
_GONE = {404, 410}


class Recheck:
    """Goes through all sightings of stored photos: the headers of each photo, the meta elements of its page, the
    host's rules. New opt-outs become sightings of state `opted_out`, and the judge takes their photos out."""

    def __init__(self, source: WebSource, encoding: str, fetcher: Fetcher, intake: Intake) -> None:
        self.source, self.encoding, self.fetcher, self.intake = source, encoding, fetcher, intake
        self._found: list[Sighting] = []
        self._gone: list[Sighting] = []

    async def run(self) -> None:
        await work(self._stored(), self._ask, self.source.concurrency)
        await self._commit()

    async def _stored(self) -> AsyncIterator[Sighting]:
        last = ("", "")
        while batch := await asyncio.to_thread(self.intake.catalog.sightings.stored_sightings, last, _BATCH):
            last = (batch[-1].url, batch[-1].person)
            self.intake.tally.expected += len(batch)
            for sighting in batch:
                yield sighting
            await self._commit()

    async def _ask(self, sighting: Sighting) -> None:
        tally = self.intake.tally
        if isinstance(self.source, UrlsSource) and self.source.allow_local:
            self.fetcher.own(sighting.url)
        try:
            now = await self.fetcher.head(sighting.url)
            if "://" in sighting.page_url:
                await self.fetcher.page(sighting.page_url, self.encoding, links=False)
        except FetchError as error:
            if error.reason == "opted_out":
                self._found.append(replace(sighting, state="opted_out", reason="opted_out", consent=error.consent))
                tally.opted_out += 1
            elif error.status in _GONE and error.url == sighting.url:
                self._gone.append(sighting)
                tally.gone += 1
            else:
                tally.count(error.reason)
        else:
            same = now == Validators(sighting.etag, sighting.last_modified)
            tally.unchanged += same
            tally.changed += not same
        tally.visited += 1
        tally.requests, tally.received = self.fetcher.requests, self.fetcher.received

    async def _commit(self) -> None:
        found, self._found = self._found, []
        gone, self._gone = self._gone, []
        await asyncio.to_thread(self.intake.catalog.sightings.mark, found, gone)
        if found:
            await asyncio.to_thread(self.intake.dataset.discard_opted_out, [sighting.url for sighting in found])

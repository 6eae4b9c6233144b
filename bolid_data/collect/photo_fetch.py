"""Fetches a person's photo: requested once, whoever lists it, and always recorded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from bolid_data.collect.download import Downloader
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Ingest

T = TypeVar("T")


class PhotoFetcher:
    def __init__(self, fetcher: Fetcher, ingest: Ingest) -> None:
        self.ingest = ingest
        self._fetcher = fetcher
        self._downloader = Downloader(fetcher, ingest.store)
        self._in_flight: dict[str, asyncio.Event] = {}

    async def fetch(self, url: str, person: str, page_url: str) -> None:
        """Stores the photo at `url`, or records why it cannot."""
        while done := self._in_flight.get(url):  # the same address, listed twice
            await done.wait()
        if self.ingest.record_repeat(url, person, page_url):
            return
        done = self._in_flight[url] = asyncio.Event()
        try:
            await self._fetch(url, person, page_url)
        finally:
            del self._in_flight[url]
            done.set()
            stats = self.ingest.stats
            stats.requests, stats.received = self._fetcher.requests, self._fetcher.received

    async def _fetch(self, url: str, person: str, page_url: str) -> None:
        if self.ingest.opted_out_before(url, person, page_url):
            return
        try:
            download = await self._downloader.get(url)
        except FetchError as error:
            self.record_failure(error, url, person, page_url)
        else:
            await self.ingest.add_download(download.file, url, person, page_url, download.validators)

    def record_failure(self, error: FetchError, url: str, person: str, page_url: str) -> None:
        """Records a failed request for a photo or its page."""
        if error.reason == "opted_out":
            state = "opted_out"
        elif error.reason == "robots":
            state = "skipped"  # checking it again costs nothing
        else:
            state = "refused" if error.final else "failed"
        self.ingest.record_no_photo(url, person, page_url, state, error.reason, error.status, error.consent)


async def run_workers(items: AsyncIterator[T], each: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Passes every item to one of `workers` tasks; `items` is read only a little ahead of them."""
    queue: asyncio.Queue[T | None] = asyncio.Queue(maxsize=workers)

    async def worker() -> None:
        while (item := await queue.get()) is not None:
            await each(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(worker())
        async for item in items:
            await queue.put(item)
        for _ in range(workers):
            await queue.put(None)

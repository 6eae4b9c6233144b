"""One photo of a person: asked for once, whoever lists it, and recorded whatever comes of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from bolid_data.collect.download import Downloader
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.ingest import Intake

T = TypeVar("T")


class Visitor:
    def __init__(self, fetcher: Fetcher, intake: Intake) -> None:
        self.intake = intake
        self._fetcher = fetcher
        self._downloader = Downloader(fetcher, intake.store)
        self._under_way: dict[str, asyncio.Event] = {}

    async def visit(self, url: str, person: str, page_url: str) -> None:
        """Stores the photo at `url`, or records why there is none."""
        while done := self._under_way.get(url):  # the same address, listed twice
            await done.wait()
        if self.intake.same(url, person, page_url):
            return
        done = self._under_way[url] = asyncio.Event()
        try:
            await self._visit(url, person, page_url)
        finally:
            del self._under_way[url]
            done.set()
            tally = self.intake.tally
            tally.requests, tally.received = self._fetcher.requests, self._fetcher.received

    async def _visit(self, url: str, person: str, page_url: str) -> None:
        if self.intake.opted_out_before(url, person, page_url):
            return
        try:
            download = await self._downloader.get(url)
        except FetchError as error:
            self.refused(error, url, person, page_url)
        else:
            await self.intake.download(download.file, url, person, page_url, download.validators)

    def refused(self, error: FetchError, url: str, person: str, page_url: str) -> None:
        """Records what a failed request for a photo, or its page, comes to."""
        if error.reason == "opted_out":
            state = "opted_out"
        elif error.reason == "robots":
            state = "skipped"  # costs nothing to look at again
        else:
            state = "refused" if error.final else "failed"
        self.intake.nothing(url, person, page_url, state, error.reason, error.status, error.consent)


async def work(items: AsyncIterator[T], each: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Gives every item to one of `workers` tasks; an item is taken from `items` only when one of them is soon free."""
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

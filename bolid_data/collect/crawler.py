"""Walks a site: letters → people → their pages → photo pages → files.

The walk itself keeps no state: lists are read again by every run, in the site's own order, and photo pages whose
photo is stored (or never will be) are passed over. So a killed crawl continues, and the people chosen under
`max_people` do not depend on which request was answered first.
"""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urljoin

from rich.progress import Progress

from bolid_data.collect.fetch import Fetcher, FetchError
from bolid_data.collect.intake import Intake
from bolid_data.collect.theplace import (
    DriftError,
    PersonLink,
    PersonPage,
    Profile,
    parse_letters,
    parse_people,
    parse_person,
    parse_photo,
)
from bolid_data.manifest import ThePlaceSource
from bolid_data.records import Person


class Crawler:
    def __init__(self, profile: Profile, source: ThePlaceSource, fetcher: Fetcher, intake: Intake) -> None:
        self.profile, self.source, self.fetcher, self.intake = profile, source, fetcher, intake

    async def run(self, progress: Progress) -> None:
        """Crawls the whole site. Raises BolidError when its first page cannot be read; what stops only a branch
        (a page that drifted, a person's page that is gone) is written to the tally and the crawl goes on."""
        self._progress = progress
        self._photos = progress.add_task("photos", total=0)
        queue: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(maxsize=4 * self.source.concurrency)
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(self._work(queue)) for _ in range(self.source.concurrency)]
            try:
                await self._walk(queue)
            except BaseException:
                for worker in workers:
                    worker.cancel()
                raise
            for _ in workers:
                await queue.put(None)
        await self.intake.commit_beside(always=True)

    async def _walk(self, queue: asyncio.Queue[tuple[str, str] | None]) -> None:
        """Puts every photo page that needs a visit into the queue, person after person."""
        people = self._progress.add_task("people", total=None)
        async for link in self._people():
            try:
                first = await self._person_page(link.url)
            except (FetchError, DriftError) as error:
                self._stop_branch(error)
                self.intake.person(Person(link.person, link.name, link.url, None, "failed"))
                continue
            listed = first.listed_photos if first.listed_photos is not None else len(first.photo_pages)
            few = listed < self.source.min_photos
            state = "skipped" if few else "listed"
            self.intake.person(Person(link.person, first.name or link.name, link.url, listed, state))
            if few:
                self.intake.tally.skipped_people += 1
                continue
            self.intake.tally.people += 1
            await self._queue_photos(link, first, queue)
            self._progress.advance(people)
            if self.intake.tally.people >= self.source.max_people:
                return

    async def _people(self) -> AsyncIterator[PersonLink]:
        """The people listed, each once, in the order of the letters and of their pages."""
        start = urljoin(self.profile.origin, self.profile.start)
        html = await self.fetcher.page(start, self.profile.encoding)
        seen: set[str] = set()
        wanted = set(self.source.people)
        for letter in parse_letters(self.profile, html, start):
            try:
                html = await self.fetcher.page(letter, self.profile.encoding)
                people = parse_people(self.profile, html, letter)
            except (FetchError, DriftError) as error:
                self._stop_branch(error)
                continue
            for link in people:
                if link.person not in seen and (not wanted or link.person in wanted):
                    seen.add(link.person)
                    yield link

    async def _queue_photos(
        self, link: PersonLink, page: PersonPage, queue: asyncio.Queue[tuple[str, str] | None]
    ) -> None:
        """Queues a person's first `max_photos` photo pages, following the pages of the gallery as they turn up."""
        settled = await asyncio.to_thread(self.intake.catalog.settled_pages, link.person)
        visited, ahead, photos = {link.url}, list(page.further_pages), dict.fromkeys(page.photo_pages)
        while len(photos) < self.source.max_photos and (ahead := [url for url in ahead if url not in visited]):
            visited.add(ahead[0])
            try:
                page = await self._person_page(ahead[0])
            except (FetchError, DriftError) as error:
                self._stop_branch(error)
                continue
            photos |= dict.fromkeys(page.photo_pages)
            ahead += page.further_pages
        chosen = list(photos)[: self.source.max_photos]
        new = [url for url in chosen if url not in settled]
        self.intake.tally.known += len(chosen) - len(new)
        total = (self._progress.tasks[self._photos].total or 0) + len(new)
        self._progress.update(self._photos, total=total)
        for url in new:
            await queue.put((link.person, url))

    async def _person_page(self, url: str) -> PersonPage:
        return parse_person(self.profile, await self.fetcher.page(url, self.profile.encoding), url)

    async def _work(self, queue: asyncio.Queue[tuple[str, str] | None]) -> None:
        while (item := await queue.get()) is not None:
            await self._visit(*item)
            self._progress.advance(self._photos)
            await self.intake.commit_beside()

    async def _visit(self, person: str, page_url: str) -> None:
        """One photo page and its file."""
        url = page_url
        try:
            url = parse_photo(self.profile, await self.fetcher.page(page_url, self.profile.encoding), page_url)
            waiting = self.intake.store.waiting(url)
            if waiting.exists():  # whole, but not committed when an earlier run was killed
                self.intake.photo(waiting, url, person, page_url, status=200)
                return
            download = await self.fetcher.photo(url, waiting)
            self.intake.photo(waiting, url, person, page_url, download.sha256, download.status)
        except DriftError as error:
            self._stop_branch(error)
            self.intake.nothing(url, person, page_url, "failed", "drift")
        except FetchError as error:
            state = "refused" if error.final else "failed"
            self.intake.nothing(url, person, page_url, state, error.reason, error.status)

    def _stop_branch(self, error: FetchError | DriftError) -> None:
        self.intake.tally.errors.append(str(error))

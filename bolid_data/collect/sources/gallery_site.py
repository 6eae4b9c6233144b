"""Crawls a gallery site: letters → people → their pages → photo pages → files.

The frontier is in the catalog: every page of links is stored there with the items parsed from it. A killed crawl takes
the same path again but requests only pages that it had not read; a later crawl requests pages only if they have
changed, and skips photo pages whose photo is stored (or never will be). The crawl follows the site's order, so that
`max_people` and `max_photos` select the same photos whichever response comes first.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urljoin

from pydantic import TypeAdapter

from bolid_data.collect.http.address import comparable, origin
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.http.host import ROBOTS
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.photo_fetch import PhotoFetcher, run_workers
from bolid_data.collect.sites.profiles import Profile
from bolid_data.collect.sites.theplace import (
    Card,
    DriftError,
    PersonLink,
    PersonPage,
    parse_letters,
    parse_people,
    parse_person,
    parse_photo,
)
from bolid_data.errors import BolidError
from bolid_data.manifest import ThePlaceSource
from bolid_data.names import letters
from bolid_data.records import Frontier, ListedPerson, ReadPage, Validators
from bolid_data.words import photos

T = TypeVar("T")
Parse = Callable[[Profile, str, str], T]
PEOPLE_PER_LOOKUP = 20
"""People whose frontier is read at once: opening the catalog takes longer than reading most pages."""
THREAD_MIN_CHARACTERS = 200_000
"""Length from which a page is parsed in a thread instead of the event loop."""


@dataclass(frozen=True)
class _StartPage:
    """The start page: the other pages that list people, and the people that it lists itself."""

    letters: list[str]
    people: list[PersonLink]


_START, _PEOPLE, _PERSON = TypeAdapter(_StartPage), TypeAdapter(list[PersonLink]), TypeAdapter(PersonPage)


def _parse_start(profile: Profile, html: str, url: str) -> _StartPage:
    letters = parse_letters(profile, html, url)
    return _StartPage([x for x in letters if x != url], parse_people(profile, html, url) if url in letters else [])


@dataclass(frozen=True)
class _PhotoPage:
    person: str
    page_url: str


class Crawler:
    def __init__(
        self, profile: Profile, source: ThePlaceSource, min_size: tuple[int, int], fetcher: Fetcher, ingest: Ingest
    ) -> None:
        """`min_size` is (width, height) in pixels; a photo whose card states a smaller size is not fetched."""
        self.profile, self.source, self.min_size = profile, source, min_size
        self.fetcher, self.ingest, self.stats = fetcher, ingest, ingest.stats
        self._photo_fetcher = PhotoFetcher(fetcher, ingest)
        # Another version of the profile may parse the same page differently.
        self._reader = hashlib.sha256(repr(profile).encode()).hexdigest()[:16]

    async def run(self) -> None:
        """Crawls the site. Raises BolidError if its first page cannot be read; errors of other pages (drift, a person's
        page that is gone) are recorded in the stats, and the crawl continues."""
        self._crawl = await asyncio.to_thread(self.ingest.catalog.sightings.begin_crawl)
        await run_workers(self._photos(), self._fetch_photo, self.source.concurrency)
        await self.ingest.commit_async(always=True)
        if not self.stats.stopped:
            await asyncio.to_thread(self.ingest.catalog.sightings.finish_crawl, self._crawl)

    async def _photos(self) -> AsyncIterator[_PhotoPage]:
        """The photo pages to fetch, person by person."""
        async for link, frontier in self._people():
            async for photo in self._photos_of(link, frontier):
                if self.stats.is_budget_spent(self.source):
                    return
                yield photo
            if self.stats.people >= self.source.max_people:
                break
        self.stats.all_listed = True

    async def _people(self) -> AsyncIterator[tuple[PersonLink, Frontier]]:
        """The listed people, each once, in the order of the letters and their pages, each with their frontier."""
        pages: dict[str, str] = {}
        catalog_urls = await asyncio.to_thread(self.ingest.catalog.sightings.addresses)
        async for people in self._lists():
            wanted = [link for link in people if self._wanted(link.person) and self._is_new(link, pages, catalog_urls)]
            for start in range(0, len(wanted), PEOPLE_PER_LOOKUP):
                group = wanted[start : start + PEOPLE_PER_LOOKUP]
                frontier = await self._frontier([link.person for link in group])
                for link in group:
                    yield link, frontier

    def _parse_start(self, profile: Profile, html: str, url: str) -> _StartPage:
        index = _parse_start(profile, html, url)
        return _StartPage(index.letters, self._not_forgotten(index.people))

    def _parse_people(self, profile: Profile, html: str, url: str) -> list[PersonLink]:
        return self._not_forgotten(parse_people(profile, html, url))

    def _not_forgotten(self, people: list[PersonLink]) -> list[PersonLink]:
        """Parsed pages are stored, and must not name forgotten people."""
        return [link for link in people if not self.ingest.removed.person(link.person)]

    def _is_new(self, link: PersonLink, pages: dict[str, str], catalog_urls: dict[str, str]) -> bool:
        """Whether a person has not been listed in this crawl before. Another person whose address gives the same slug,
        in this crawl or in the catalog, is left out and recorded as an error."""
        before = pages.get(link.person)
        if before == link.url:
            return False
        other = before or catalog_urls.get(link.person, "")
        if origin(other) == origin(link.url) and letters(unquote(other)) != letters(unquote(link.url)):
            message = f"{link.url}: its slug '{link.person}' is taken by {other}; left out, as people are not merged"
            if message not in self.stats.errors:
                self.stats.errors.append(message)
            return False
        pages[link.person] = link.url
        return before is None

    def _wanted(self, person: str) -> bool:
        return not self.source.people or person in self.source.people

    async def _lists(self) -> AsyncIterator[list[PersonLink]]:
        """The people of each page that lists some, in the site's order."""
        frontier = await self._frontier([""])
        self._stop_if_closed()
        start = urljoin(self.profile.origin, self.profile.start)
        index = await self._read(start, "", frontier, self._parse_start, _START)
        yield index.people
        for letter in index.letters:
            try:
                yield await self._read(letter, "", frontier, self._parse_people, _PEOPLE)
            except (FetchError, DriftError) as error:
                self._record_error(error)

    async def _photos_of(self, link: PersonLink, frontier: Frontier) -> AsyncIterator[_PhotoPage]:
        """A person's photo pages to fetch, among their first `max_photos`."""
        if link.listed_photos is not None and link.listed_photos < self.source.min_photos:
            self._skip(link, link.name, link.listed_photos)
            return
        try:
            first = await self._read(link.url, link.person, frontier, parse_person, _PERSON)
        except (FetchError, DriftError) as error:
            consent = error.consent if isinstance(error, FetchError) else None
            state = "opted_out" if consent else "failed"
            self.ingest.add_person(ListedPerson(link.person, link.name, link.url, link.listed_photos, state))
            if consent and "nofollow" not in consent and consent != ROBOTS:
                await self.ingest.opt_out_person(link.person, consent)
            self._record_error(error)
            return
        listed = next((n for n in (first.listed_photos, link.listed_photos) if n is not None), len(first.cards))
        name = first.name or link.name
        if listed < self.source.min_photos:
            self._skip(link, name, listed)
            return
        self.ingest.add_person(ListedPerson(link.person, name, link.url, listed))
        self.stats.people += 1
        cards, complete = await self._cards(link, first, frontier)
        if complete and first.listed_photos is not None and first.listed_photos > len(cards):
            # Some are not shown to us, so a photo that is missing here need not be gone.
            self.stats.warnings.append(f"{link.url}: states {photos(first.listed_photos)} and lists {len(cards)}")
            complete = False
        if complete:
            self.ingest.add_listing(link.person, [card.url for card in cards])
        chosen = cards[: self.source.max_photos]
        settled = {comparable(page) for person, page in frontier.settled if person == link.person}
        new = [card for card in chosen if comparable(card.url) not in settled]
        self.stats.known += len(chosen) - len(new)
        self.stats.expected += len(new)
        for card in new:
            if self._too_small(card):
                self.stats.visited += 1
                self.ingest.record_no_photo(card.url, link.person, card.url, "skipped", "too_small")
            else:
                yield _PhotoPage(link.person, card.url)

    async def _cards(self, link: PersonLink, page: PersonPage, frontier: Frontier) -> tuple[list[Card], bool]:
        """The cards of a person's gallery over all its pages, and whether they are complete.

        Stops at `max_photos`, and at a page without new cards: some sites return the last page for any number.
        """
        cards, complete = {comparable(card.url): card for card in page.cards}, True
        visited, queue = {link.url}, list(page.further_pages)
        while queue := [url for url in queue if url not in visited]:
            if len(cards) >= self.source.max_photos:
                return list(cards.values()), False
            visited.add(queue[0])
            try:
                page = await self._read(queue[0], link.person, frontier, parse_person, _PERSON)
            except (FetchError, DriftError) as error:
                self._record_error(error)
                complete = False
                continue
            new = {comparable(card.url): card for card in page.cards if comparable(card.url) not in cards}
            if new:
                cards |= new
                queue += page.further_pages
        return list(cards.values()), complete

    async def _fetch_photo(self, photo: _PhotoPage) -> None:
        """Fetches one photo page and its file."""
        self._stop_if_closed()
        url = photo.page_url
        if self.ingest.opted_out_before(url, photo.person, url):
            self.stats.visited += 1
            return
        try:
            page = await self.fetcher.page(url, self.profile.encoding, links=False)
            assert page.text is not None, "only a conditional request can find a page unchanged"
            address = await self._parsed(parse_photo, page.text, url)
        except DriftError as error:
            self._record_error(error)
            self.ingest.record_no_photo(url, photo.person, url, "failed", "drift")
        except FetchError as error:
            self._photo_fetcher.record_failure(error, url, photo.person, url)
        else:
            await self._photo_fetcher.fetch(address, photo.person, url)
        self._stop_if_closed()
        self.stats.visited += 1
        await self.ingest.commit_async()

    def _stop_if_closed(self) -> None:
        if until := self.fetcher.closed_until(self.profile.origin):
            raise BolidError(
                f"{self.profile.origin} requested back-off until {until:%Y-%m-%d %H:%M} UTC; run it again then, "
                "what is stored is kept"
            )

    async def _read(self, url: str, person: str, frontier: Frontier, parse: Parse[T], adapter: TypeAdapter[T]) -> T:
        """The items of a page of links: as read in this crawl before, or as stored if unchanged, or parsed anew.

        Raises FetchError, DriftError.
        """
        stored_page = frontier.pages.get(url)
        if stored_page and stored_page.crawl == self._crawl:
            return adapter.validate_json(stored_page.found)
        since = Validators(stored_page.etag, stored_page.last_modified) if stored_page else None
        page = await self.fetcher.page(url, self.profile.encoding, links=True, since=since)
        self.stats.requests, self.stats.received = self.fetcher.requests, self.fetcher.received
        if page.text is None and stored_page:
            self.stats.unchanged += 1
            text, items = stored_page.found, adapter.validate_json(stored_page.found)
        else:
            items = await self._parsed(parse, page.text or "", url)
            text = adapter.dump_json(items).decode()
        validators = page.validators
        row = ReadPage(url, person, text, self._reader, self._crawl, validators.etag, validators.last_modified)
        self.ingest.add_page(row)
        await self.ingest.commit_async()
        return items

    async def _parsed(self, parse: Parse[T], html: str, url: str) -> T:
        if len(html) < THREAD_MIN_CHARACTERS:
            return parse(self.profile, html, url)
        return await asyncio.to_thread(parse, self.profile, html, url)

    async def _frontier(self, people: list[str]) -> Frontier:
        frontier = await asyncio.to_thread(self.ingest.catalog.sightings.frontier, people)
        pages = {url: page for url, page in frontier.pages.items() if page.reader == self._reader}
        return Frontier(pages, frontier.settled)

    def _skip(self, link: PersonLink, name: str, listed: int) -> None:
        self.ingest.add_person(ListedPerson(link.person, name, link.url, listed, "skipped"))
        self.stats.skipped_people += 1

    def _too_small(self, card: Card) -> bool:
        """Whether the size on a card is below the minimum in either orientation, as EXIF may turn the photo."""
        if card.width is None or card.height is None:
            return False
        sides, min_sides = sorted((card.width, card.height)), sorted(self.min_size)
        return sides[0] < min_sides[0] or sides[1] < min_sides[1]

    def _record_error(self, error: FetchError | DriftError) -> None:
        self._stop_if_closed()
        if isinstance(error, DriftError):
            self.stats.drift.append(str(error))
        elif error.reason not in ("opted_out", "robots"):
            self.stats.errors.append(str(error))
        else:
            self.stats.count_reason(error.reason)


class ListReader(Crawler):
    """Reads all pages of links, and requests no photo: the stats then count what a crawl would fetch. The crawl stays
    unfinished, so that the next one takes these pages as they were read."""

    async def run(self) -> None:
        self._crawl = await asyncio.to_thread(self.ingest.catalog.sightings.begin_crawl)
        async for _ in self._photos():
            await self.ingest.commit_async()
        await self.ingest.commit_async(always=True)

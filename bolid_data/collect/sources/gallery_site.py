"""Walks a site: letters → people → their pages → photo pages → files.

The frontier is the catalog: every page of links is kept there as it was read, with what was found on it. A crawl that
was killed walks the same way again, but reads from the site only what it had not read; a later crawl asks whether a
page has changed, and photo pages whose photo is stored (or never will be) are passed over. The walk goes in the
site's own order, so what `max_people` and `max_photos` choose does not depend on which answer came first.
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
from bolid_data.collect.ingest import Intake
from bolid_data.collect.photo_fetch import Visitor, work
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
from bolid_data.records import Frontier, Person, ReadPage, Validators

T = TypeVar("T")
Parse = Callable[[Profile, str, str], T]
TOGETHER = 20
"""People whose frontier is looked up at once: opening the catalog takes longer than most pages."""
LONG = 200_000
"""Characters from which a page is read beside the loop."""


@dataclass(frozen=True)
class _Index:
    """The start page: further pages that list people, and the people it lists itself."""

    letters: list[str]
    people: list[PersonLink]


_INDEX, _PEOPLE, _PERSON = TypeAdapter(_Index), TypeAdapter(list[PersonLink]), TypeAdapter(PersonPage)


def _parse_index(profile: Profile, html: str, url: str) -> _Index:
    letters = parse_letters(profile, html, url)
    return _Index([x for x in letters if x != url], parse_people(profile, html, url) if url in letters else [])


@dataclass(frozen=True)
class _Photo:
    person: str
    page_url: str


class Crawler:
    def __init__(
        self, profile: Profile, source: ThePlaceSource, least: tuple[int, int], fetcher: Fetcher, intake: Intake
    ) -> None:
        """`least` is (width, height) in pixels below which a photo, by the size its card states, is not fetched."""
        self.profile, self.source, self.least = profile, source, least
        self.fetcher, self.intake, self.tally = fetcher, intake, intake.tally
        self._visitor = Visitor(fetcher, intake)
        # Another version of the profile reads another thing from the same page.
        self._reader = hashlib.sha256(repr(profile).encode()).hexdigest()[:16]

    async def run(self) -> None:
        """Crawls the whole site. Raises BolidError when its first page cannot be read; what stops only a branch
        (a page that drifted, a person's page that is gone) is written to the tally and the crawl goes on."""
        self._crawl = await asyncio.to_thread(self.intake.catalog.sightings.begin_crawl)
        await work(self._photos(), self._visit, self.source.concurrency)
        await self.intake.commit_beside(always=True)
        if not self.tally.stopped:
            await asyncio.to_thread(self.intake.catalog.sightings.finish_crawl, self._crawl)

    async def _photos(self) -> AsyncIterator[_Photo]:
        """Every photo page that needs a visit, person after person."""
        async for link, frontier in self._people():
            async for photo in self._of_person(link, frontier):
                if self.tally.spent(self.source):
                    return
                yield photo
            if self.tally.people >= self.source.max_people:
                return

    async def _people(self) -> AsyncIterator[tuple[PersonLink, Frontier]]:
        """The people listed, each once, in the order of the letters and of their pages; of each, how far we came."""
        pages: dict[str, str] = {}
        known = await asyncio.to_thread(self.intake.catalog.sightings.addresses)
        async for people in self._lists():
            wanted = [link for link in people if self._wanted(link.person) and self._is_new(link, pages, known)]
            for start in range(0, len(wanted), TOGETHER):
                some = wanted[start : start + TOGETHER]
                frontier = await self._frontier([link.person for link in some])
                for link in some:
                    yield link, frontier

    def _parse_index(self, profile: Profile, html: str, url: str) -> _Index:
        index = _parse_index(profile, html, url)
        return _Index(index.letters, self._not_forgotten(index.people))

    def _parse_people(self, profile: Profile, html: str, url: str) -> list[PersonLink]:
        return self._not_forgotten(parse_people(profile, html, url))

    def _not_forgotten(self, people: list[PersonLink]) -> list[PersonLink]:
        """What is found on a page is kept, and must not name who was forgotten."""
        return [link for link in people if not self.intake.removed.person(link.person)]

    def _is_new(self, link: PersonLink, pages: dict[str, str], known: dict[str, str]) -> bool:
        """Whether a person was not yet listed in this crawl. Another person whose address gives the same slug, here or
        in the catalog, is left out, which is an error of the crawl."""
        before = pages.get(link.person)
        if before == link.url:
            return False
        other = before or known.get(link.person, "")
        if origin(other) == origin(link.url) and letters(unquote(other)) != letters(unquote(link.url)):
            message = (
                f"{link.url}: has the slug '{link.person}', as {other} has; left out, for nobody is merged silently"
            )
            if message not in self.tally.errors:
                self.tally.errors.append(message)
            return False
        pages[link.person] = link.url
        return before is None

    def _wanted(self, person: str) -> bool:
        return not self.source.people or person in self.source.people

    async def _lists(self) -> AsyncIterator[list[PersonLink]]:
        """The pages that list people, in the site's order."""
        frontier = await self._frontier([""])
        self._stop_where_unwelcome()
        start = urljoin(self.profile.origin, self.profile.start)
        index = await self._read(start, "", frontier, self._parse_index, _INDEX)
        yield index.people
        for letter in index.letters:
            try:
                yield await self._read(letter, "", frontier, self._parse_people, _PEOPLE)
            except (FetchError, DriftError) as error:
                self._stop_branch(error)

    async def _of_person(self, link: PersonLink, frontier: Frontier) -> AsyncIterator[_Photo]:
        """A person's photo pages that need a visit, among their first `max_photos`."""
        if link.listed_photos is not None and link.listed_photos < self.source.min_photos:
            self._skip(link, link.name, link.listed_photos)
            return
        try:
            first = await self._read(link.url, link.person, frontier, parse_person, _PERSON)
        except (FetchError, DriftError) as error:
            consent = error.consent if isinstance(error, FetchError) else None
            state = "opted_out" if consent else "failed"
            self.intake.person(Person(link.person, link.name, link.url, link.listed_photos, state))
            if consent and "nofollow" not in consent and consent != ROBOTS:
                await self.intake.opt_out_person(link.person, consent)
            self._stop_branch(error)
            return
        listed = next((n for n in (first.listed_photos, link.listed_photos) if n is not None), len(first.cards))
        name = first.name or link.name
        if listed < self.source.min_photos:
            self._skip(link, name, listed)
            return
        self.intake.person(Person(link.person, name, link.url, listed))
        self.tally.people += 1
        cards, whole = await self._cards(link, first, frontier)
        if whole and first.listed_photos is not None and first.listed_photos > len(cards):
            # Some are not shown to us: that they are gone cannot be told from this.
            self.tally.warnings.append(f"{link.url}: says {first.listed_photos} photos and lists {len(cards)}")
            whole = False
        if whole:
            self.intake.listed(link.person, [card.url for card in cards])
        chosen = cards[: self.source.max_photos]
        settled = {comparable(page) for person, page in frontier.settled if person == link.person}
        new = [card for card in chosen if comparable(card.url) not in settled]
        self.tally.known += len(chosen) - len(new)
        self.tally.expected += len(new)
        for card in new:
            if self._too_small(card):
                self.tally.visited += 1
                self.intake.nothing(card.url, link.person, card.url, "skipped", "too_small")
            else:
                yield _Photo(link.person, card.url)

    async def _cards(self, link: PersonLink, page: PersonPage, frontier: Frontier) -> tuple[list[Card], bool]:
        """The cards of a person's gallery, following its pages as they turn up, and whether that is all of them.

        Ends at `max_photos`, and at a page that brings nothing new: some sites answer any page number with the last.
        """
        cards, whole = {comparable(card.url): card for card in page.cards}, True
        visited, ahead = {link.url}, list(page.further_pages)
        while ahead := [url for url in ahead if url not in visited]:
            if len(cards) >= self.source.max_photos:
                return list(cards.values()), False
            visited.add(ahead[0])
            try:
                page = await self._read(ahead[0], link.person, frontier, parse_person, _PERSON)
            except (FetchError, DriftError) as error:
                self._stop_branch(error)
                whole = False
                continue
            more = {comparable(card.url): card for card in page.cards if comparable(card.url) not in cards}
            if more:
                cards |= more
                ahead += page.further_pages
        return list(cards.values()), whole

    async def _visit(self, photo: _Photo) -> None:
        """One photo page and its file."""
        self._stop_where_unwelcome()
        url = photo.page_url
        if self.intake.opted_out_before(url, photo.person, url):
            self.tally.visited += 1
            return
        try:
            page = await self.fetcher.page(url, self.profile.encoding, links=False)
            assert page.text is not None, "only a conditional request can find a page unchanged"
            address = await self._parsed(parse_photo, page.text, url)
        except DriftError as error:
            self._stop_branch(error)
            self.intake.nothing(url, photo.person, url, "failed", "drift")
        except FetchError as error:
            self._visitor.refused(error, url, photo.person, url)
        else:
            await self._visitor.visit(address, photo.person, url)
        self._stop_where_unwelcome()
        self.tally.visited += 1
        await self.intake.commit_beside()

    def _stop_where_unwelcome(self) -> None:
        if until := self.fetcher.closed_until(self.profile.origin):
            raise BolidError(
                f"{self.profile.origin} asked to be left alone until {until:%Y-%m-%d %H:%M} UTC; run again then, "
                "what is stored is kept"
            )

    async def _read(self, url: str, person: str, frontier: Frontier, parse: Parse[T], found: TypeAdapter[T]) -> T:
        """What a page of links says: as read before in this crawl, or unchanged since, or anew.

        Raises FetchError, DriftError.
        """
        known = frontier.pages.get(url)
        if known and known.crawl == self._crawl:
            return found.validate_json(known.found)
        since = Validators(known.etag, known.last_modified) if known else None
        page = await self.fetcher.page(url, self.profile.encoding, links=True, since=since)
        self.tally.requests, self.tally.received = self.fetcher.requests, self.fetcher.received
        if page.text is None and known:
            self.tally.unchanged += 1
            text, result = known.found, found.validate_json(known.found)
        else:
            result = await self._parsed(parse, page.text or "", url)
            text = found.dump_json(result).decode()
        given = page.validators
        row = ReadPage(url, person, text, self._reader, self._crawl, given.etag, given.last_modified)
        self.intake.page(row)
        await self.intake.commit_beside()
        return result

    async def _parsed(self, parse: Parse[T], html: str, url: str) -> T:
        if len(html) < LONG:
            return parse(self.profile, html, url)
        return await asyncio.to_thread(parse, self.profile, html, url)

    async def _frontier(self, people: list[str]) -> Frontier:
        found = await asyncio.to_thread(self.intake.catalog.sightings.frontier, people)
        pages = {url: page for url, page in found.pages.items() if page.reader == self._reader}
        return Frontier(pages, found.settled)

    def _skip(self, link: PersonLink, name: str, listed: int) -> None:
        self.intake.person(Person(link.person, name, link.url, listed, "skipped"))
        self.tally.skipped_people += 1

    def _too_small(self, card: Card) -> bool:
        """Whether the size a card states is below the least either way up (EXIF may turn the photo)."""
        if card.width is None or card.height is None:
            return False
        sides, least = sorted((card.width, card.height)), sorted(self.least)
        return sides[0] < least[0] or sides[1] < least[1]

    def _stop_branch(self, error: FetchError | DriftError) -> None:
        self._stop_where_unwelcome()
        if isinstance(error, DriftError):
            self.tally.drift.append(str(error))
        elif error.reason not in ("opted_out", "robots"):
            self.tally.errors.append(str(error))
        else:
            self.tally.count(error.reason)

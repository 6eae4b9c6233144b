"""A source that is a list: a CSV or Parquet file of person and url, of a million rows or more."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from bolid_data.catalog import AddressList
from bolid_data.collect.http.address import LONGEST, is_this_machine, origin, place
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.http.transport import is_inside
from bolid_data.collect.ingest import Intake
from bolid_data.collect.photo_fetch import Visitor, work
from bolid_data.collect.slugs import Slugs
from bolid_data.errors import UsageError
from bolid_data.manifest import UrlsSource
from bolid_data.names import clean_name, slug
from bolid_data.progress import note
from bolid_data.records import Person

_SETTLED = {"stored", "opted_out", "refused"}
_INSIDE = "private_address"


@dataclass(frozen=True)
class _Address:
    person: str
    url: str


class UrlList:
    """Fetches what a list names. It is read in batches, and what is settled of a batch is looked up at once, so that
    neither memory nor a second run's time grows with what is there already."""

    def __init__(self, path: Path, source: UrlsSource, fetcher: Fetcher, intake: Intake) -> None:
        if not path.is_file():
            raise UsageError(f"source.path: {path}: no such file")
        self.path, self.source, self.fetcher, self.intake = path, source, fetcher, intake
        self._list = AddressList(path, source.encoding)
        self._visitor = Visitor(fetcher, intake)
        self._hosts: set[str] = set()  # that may be asked

    async def run(self) -> None:
        people = await asyncio.to_thread(self._people)
        # More tasks than one host may have requests: those that wait for their host do not hold up the others.
        await work(self._addresses(people), self._visit, min(8 * self.source.concurrency, 512))
        await self.intake.commit_beside(always=True)
        if bad := self._list.bad.count:
            self.intake.tally.bad_rows = bad
            for row in self._list.bad.first:
                note(f"scrape: {self.path}: {row}")
        if inside := self.intake.tally.reasons.get(_INSIDE):
            note(
                f"scrape: {inside} addresses lead to this machine or a private network, and were not asked for; where "
                "you wrote the list and mean them, set [source] allow_local = true"
            )

    def _people(self) -> dict[str, str]:
        """Slugs by the names of those to be collected."""
        people: dict[str, str] = {}
        chosen: dict[str, Person] = {}
        slugs = Slugs(self.intake.catalog.sightings.names())
        for name, listed in self._list.people().items():
            person = slug(name)
            wanted = not self.source.people or person in self.source.people
            if not person or not wanted or self.intake.removed.person(person):
                continue
            slugs.take(person, clean_name(name) or person)
            if person not in chosen and len(chosen) == self.source.max_people:
                break
            before = chosen.get(person, Person(person, clean_name(name), self.source.path, 0))
            chosen[person] = replace(before, listed_photos=(before.listed_photos or 0) + listed)
            people[name] = person
        slugs.check(f"source.path: {self.path}", "the list")
        for row in chosen.values():
            self.intake.person(row)
        tally = self.intake.tally
        tally.people, tally.expected = len(chosen), sum(row.listed_photos or 0 for row in chosen.values())
        return people

    async def _addresses(self, people: dict[str, str]) -> AsyncIterator[_Address]:
        """What is not settled, in the list's order."""
        batches = self._list.batches()
        while batch := await asyncio.to_thread(next, batches, None):
            rows = dict.fromkeys((people[name], url) for name, url in batch if name in people)
            sighted: dict[str, dict[str, str]] = {}
            stored = {}
            for sighting in await asyncio.to_thread(self.intake.catalog.sightings.sighted, [url for _, url in rows]):
                # What lay inside is looked at again once the manifest allows it.
                allowed = self.source.allow_local and sighting.reason == _INSIDE
                sighted.setdefault(sighting.url, {})[sighting.person] = "failed" if allowed else sighting.state
                if sighting.state == "stored":
                    stored[sighting.url] = sighting
            for person, url in rows:
                if self.intake.tally.spent(self.source):
                    return
                if sighted.get(url, {}).get(person) in _SETTLED or url in stored:
                    if person not in sighted[url]:  # the same photo under another name
                        self.intake.again(replace(stored[url], person=person))
                    self.intake.tally.known += 1
                    self.intake.tally.visited += 1
                elif self._may_ask(url, person):
                    yield _Address(person, url)
            await self.intake.commit_beside()  # what needed no request is not kept in memory

    def _may_ask(self, url: str, person: str) -> bool:
        host = origin(url)
        if host in self._hosts and len(url) <= LONGEST:
            return True
        try:
            place(url)
        except ValueError:
            self.intake.tally.visited += 1
            self.intake.nothing(url, person, self.source.path, "refused", "bad_address")
            return False
        if self.source.allow_local:
            self.fetcher.own(url)
        elif is_inside(url):
            self.intake.tally.visited += 1
            self.intake.nothing(url, person, self.source.path, "refused", _INSIDE)
            return False
        if not (is_this_machine(url) or self.source.contact):
            raise UsageError("source.contact is missing; a site's owner must know whom to ask (mailto:you@example.org)")
        self._hosts.add(host)
        return True

    async def _visit(self, address: _Address) -> None:
        await self._visitor.visit(address.url, address.person, self.source.path)
        self.intake.tally.visited += 1
        await self.intake.commit_beside()

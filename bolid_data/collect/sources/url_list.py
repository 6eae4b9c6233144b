"""A source of addresses: a CSV or Parquet file with columns person and url, of a million rows or more."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from bolid_data.catalog import AddressList
from bolid_data.collect.contact import require_contact
from bolid_data.collect.http.address import MAX_URL_LENGTH, host_and_port, is_this_machine, origin
from bolid_data.collect.http.fetch import Fetcher
from bolid_data.collect.http.transport import is_private
from bolid_data.collect.ingest import Ingest
from bolid_data.collect.photo_fetch import PhotoFetcher, run_workers
from bolid_data.collect.slugs import Slugs
from bolid_data.errors import UsageError
from bolid_data.manifest import UrlsSource
from bolid_data.names import clean_name, slug
from bolid_data.progress import note
from bolid_data.records import ListedPerson
from bolid_data.words import counted

_SETTLED = {"stored", "opted_out", "refused"}
_PRIVATE = "private_address"


@dataclass(frozen=True)
class _Address:
    person: str
    url: str


class UrlList:
    """Fetches the photos of a list. It is read in batches, and the settled addresses of a batch are looked up in one
    query, so that neither memory nor the time of a second run grows with the photos in the store."""

    def __init__(self, path: Path, source: UrlsSource, fetcher: Fetcher, ingest: Ingest) -> None:
        if not path.is_file():
            raise UsageError(f"source.path: {path}: no such file")
        self.path, self.source, self.fetcher, self.ingest = path, source, fetcher, ingest
        self._list = AddressList(path, source.encoding)
        self._photo_fetcher = PhotoFetcher(fetcher, ingest)
        self._hosts: set[str] = set()  # that may be requested

    async def run(self) -> None:
        people = await asyncio.to_thread(self._people)
        # More tasks than one host may have requests, so that tasks that wait for a host do not hold up the others.
        await run_workers(self._addresses(people), self._fetch, min(8 * self.source.concurrency, 512))
        await self.ingest.commit_async(always=True)
        if bad_rows := self._list.bad.count:
            self.ingest.stats.bad_rows = bad_rows
            for row in self._list.bad.first:
                note(f"scrape: {self.path}: {row}")
        if private := self.ingest.stats.reasons.get(_PRIVATE):
            lead = counted(private, "address leads", "addresses lead")
            note(
                f"scrape: {lead} to this machine or a private network and got no request; if you wrote the list and "
                "intend that, set [source] allow_local = true"
            )

    def _people(self) -> dict[str, str]:
        """The slugs of the people to collect, by their names in the list."""
        people: dict[str, str] = {}
        chosen: dict[str, ListedPerson] = {}
        slugs = Slugs(self.ingest.catalog.sightings.names())
        for name, listed in self._list.people().items():
            person = slug(name)
            wanted = not self.source.people or person in self.source.people
            if not person or not wanted or self.ingest.removed.person(person):
                continue
            slugs.claim(person, clean_name(name) or person)
            if person not in chosen and len(chosen) == self.source.max_people:
                break
            row = chosen.get(person, ListedPerson(person, clean_name(name), self.source.path, 0))
            chosen[person] = replace(row, listed_photos=(row.listed_photos or 0) + listed)
            people[name] = person
        slugs.check(f"source.path: {self.path}", "the list")
        for row in chosen.values():
            self.ingest.add_person(row)
        stats = self.ingest.stats
        stats.people, stats.expected = len(chosen), sum(row.listed_photos or 0 for row in chosen.values())
        stats.all_listed = True
        return people

    async def _addresses(self, people: dict[str, str]) -> AsyncIterator[_Address]:
        """The addresses that are not settled, in the list's order."""
        batches = self._list.batches()
        while batch := await asyncio.to_thread(next, batches, None):
            rows = dict.fromkeys((people[name], url) for name, url in batch if name in people)
            states: dict[str, dict[str, str]] = {}
            stored = {}
            for sighting in await asyncio.to_thread(
                self.ingest.catalog.sightings.at_addresses, [url for _, url in rows]
            ):
                # A private address is tried again once the manifest allows it.
                allowed = self.source.allow_local and sighting.reason == _PRIVATE
                states.setdefault(sighting.url, {})[sighting.person] = "failed" if allowed else sighting.state
                if sighting.state == "stored":
                    stored[sighting.url] = sighting
            for person, url in rows:
                if self.ingest.stats.is_budget_spent(self.source):
                    return
                if states.get(url, {}).get(person) in _SETTLED or url in stored:
                    if person not in states[url]:  # the same photo under another name
                        self.ingest.add_sighting(replace(stored[url], person=person))
                    self.ingest.stats.known += 1
                    self.ingest.stats.visited += 1
                elif self._may_request(url, person):
                    yield _Address(person, url)
            await self.ingest.commit_async()  # rows without a request must not pile up in memory

    def _may_request(self, url: str, person: str) -> bool:
        host = origin(url)
        if host in self._hosts and len(url) <= MAX_URL_LENGTH:
            return True
        try:
            host_and_port(url)
        except ValueError:
            self.ingest.stats.visited += 1
            self.ingest.record_no_photo(url, person, self.source.path, "refused", "bad_address")
            return False
        if self.source.allow_local:
            self.fetcher.allow_private(url)
        elif is_private(url):
            self.ingest.stats.visited += 1
            self.ingest.record_no_photo(url, person, self.source.path, "refused", _PRIVATE)
            return False
        if not is_this_machine(url):
            require_contact(self.source.contact, "source.contact", host)
        self._hosts.add(host)
        return True

    async def _fetch(self, address: _Address) -> None:
        await self._photo_fetcher.fetch(address.url, address.person, self.source.path)
        self.ingest.stats.visited += 1
        await self.ingest.commit_async()

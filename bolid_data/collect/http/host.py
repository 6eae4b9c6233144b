"""One host of a crawl: its pace, its rules, and how many may talk to it at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from bolid_data.collect.http.consent import Robots, TdmRules
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.throttle import Pace

RULES_LAST = 24 * 3600.0
"""Seconds after which a host's rules are read again (RFC 9309, 2.4)."""

RETRY_RULES = 300.0
"""Seconds after which rules that could not be had, so that nothing may be asked, are tried again."""

DOWN = 8
"""Exchanges that failed in a row, with none that worked before them, after which a host counts as down for this run."""

ROBOTS = "robots.txt"

Read = Callable[[str, "Host"], Awaitable[tuple[int, str]]]
"""Fetches rules of a host by their address: status and text. Raises FetchError where there is no telling."""


class Host:
    def __init__(self, delay: float, concurrency: int) -> None:
        self.pace = Pace(delay)
        self.users = 0  # requests under way, or waiting for their place
        self._places = asyncio.Semaphore(concurrency)
        self.robots = Robots(404, "")
        self.tdm = TdmRules()
        self._delay = delay
        self._rules_until = 0.0
        self._reading = asyncio.Lock()
        self._failures = 0
        self._trouble: FetchError | None = None  # why there is no telling what the rules are

    async def read_rules(self, read: Read, origin: str) -> None:
        """Reads robots.txt and tdmrep.json, again once a day."""
        if time.monotonic() < self._rules_until:
            return
        async with self._reading:
            if time.monotonic() < self._rules_until:
                return
            self._trouble = None
            try:
                self.robots = Robots(*await read(f"{origin}/robots.txt", self))
            except FetchError as error:  # nothing is allowed then
                self.robots, self._trouble = Robots(error.status, ""), error
            self.pace.floor = max(self._delay, self.robots.crawl_delay)
            self.pace.delay = max(self.pace.delay, self.pace.floor)
            if not self._trouble:
                with suppress(FetchError):
                    status, text = await read(f"{origin}/.well-known/tdmrep.json", self)
                    self.tdm = TdmRules(text if status == 200 else "[]")
            self._rules_until = time.monotonic() + (RETRY_RULES if self._trouble else RULES_LAST)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among the requests that this host may have at once."""
        self.users += 1
        try:
            async with self._places:
                yield
        finally:
            self.users -= 1

    def admit(self, address: str, url: str) -> None:
        """Raises FetchError where this host is not to be asked for an address, on the way to `url`."""
        if self._trouble:
            trouble = self._trouble
            raise FetchError(url, trouble.reason, trouble.status, trouble.final, at=trouble.url)
        if self._failures >= DOWN:
            raise FetchError(url, "host_down")
        if not self.robots.allows(address):
            raise FetchError(url, "robots", consent=ROBOTS)

    def answered(self, latency: float) -> None:
        self._failures = -(10**9)  # it has worked: what fails from here on is not the host being down
        self.pace.answered(latency)

    def failed(self) -> None:
        self._failures += 1

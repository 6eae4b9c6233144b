"""One host of a crawl: its throttle, its rules, and its limit of concurrent requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from bolid_data.collect.http.consent import Robots, TdmRules
from bolid_data.collect.http.failure import FetchError
from bolid_data.collect.http.throttle import Throttle

RULES_LIFETIME = 24 * 3600.0
"""Seconds after which a host's rules are read again (RFC 9309, 2.4)."""

RULES_RETRY_AFTER = 300.0
"""Seconds after which rules that could not be read are tried again; until then, nothing is allowed."""

MAX_FAILURES = 8
"""Failed requests in a row, with no success before them, after which a host counts as down for this run."""

ROBOTS = "robots.txt"

ReadRules = Callable[[str, "Host"], Awaitable[tuple[int, str]]]
"""Fetches rules of a host by their address: status and text. Raises FetchError where they cannot be determined."""


class Host:
    def __init__(self, delay: float, concurrency: int) -> None:
        self.throttle = Throttle(delay)
        self.users = 0  # requests in flight or waiting for a slot
        self._slots = asyncio.Semaphore(concurrency)
        self.robots = Robots(404, "")
        self.tdm = TdmRules()
        self._delay = delay
        self._rules_until = 0.0
        self._reading = asyncio.Lock()
        self._failures = 0
        self._rules_error: FetchError | None = None  # why the rules cannot be determined

    async def read_rules(self, read: ReadRules, origin: str) -> None:
        """Reads robots.txt and tdmrep.json, again once a day."""
        if time.monotonic() < self._rules_until:
            return
        async with self._reading:
            if time.monotonic() < self._rules_until:
                return
            self._rules_error = None
            try:
                self.robots = Robots(*await read(f"{origin}/robots.txt", self))
            except FetchError as error:  # then nothing is allowed
                self.robots, self._rules_error = Robots(error.status, ""), error
            self.throttle.min_delay = max(self._delay, self.robots.crawl_delay)
            self.throttle.delay = max(self.throttle.delay, self.throttle.min_delay)
            if not self._rules_error:
                with suppress(FetchError):
                    status, text = await read(f"{origin}/.well-known/tdmrep.json", self)
                    self.tdm = TdmRules(text if status == 200 else "[]")
            self._rules_until = time.monotonic() + (RULES_RETRY_AFTER if self._rules_error else RULES_LIFETIME)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the requests that this host may have at once."""
        self.users += 1
        try:
            async with self._slots:
                yield
        finally:
            self.users -= 1

    def admit(self, address: str, url: str) -> None:
        """Raises FetchError where an address must not be requested from this host, on the way to `url`."""
        if self._rules_error:
            error = self._rules_error
            raise FetchError(url, error.reason, error.status, error.final, at=error.url)
        if self._failures >= MAX_FAILURES:
            raise FetchError(url, "host_down")
        if not self.robots.allows(address):
            raise FetchError(url, "robots", consent=ROBOTS)

    def record_response(self, latency: float) -> None:
        self._failures = -(10**9)  # later failures do not mean that the host is down
        self.throttle.record_response(latency)

    def record_failure(self) -> None:
        self._failures += 1

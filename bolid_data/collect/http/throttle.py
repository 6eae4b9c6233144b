"""When the next request to a host may start: a delay that grows while the host is slow or requests back-off."""

import asyncio
import time

MAX_DELAY = 60.0


class Throttle:
    """One host's throttle. All times are in seconds.

    `delay` never goes below what the manifest and robots.txt request. It moves halfway towards the host's latency while
    responses are much slower than its fastest (the rule of Scrapy's AutoThrottle, but only for an overloaded host),
    doubles when the host returns 429 or 503, and shrinks by a tenth with every timely response.
    """

    def __init__(self, delay: float) -> None:
        self.min_delay = self.delay = delay
        self._next = 0.0  # when the next request may start
        self._paused_until = 0.0
        self._refusals = 0  # in a row
        self._latency: float | None = None  # smoothed
        self._best = 0.0

    async def wait(self) -> None:
        """Waits until this request may start; a pause that begins meanwhile is waited for, too."""
        while True:
            start = max(time.monotonic(), self._next)
            self._next = start + self.delay
            await asyncio.sleep(start - time.monotonic())
            if (pause := self._paused_until - time.monotonic()) <= 0:
                return
            self._next = max(self._next, self._paused_until)
            await asyncio.sleep(pause)

    def record_response(self, latency: float) -> None:
        """Records a response; `latency` is the time to its first byte."""
        self._refusals = 0
        self._latency = latency if self._latency is None else 0.7 * self._latency + 0.3 * latency
        self._best = min(self._best or self._latency, self._latency)
        if self._latency > 3 * self._best + 0.25:
            self.delay = max(self.min_delay, (self.delay + self._latency) / 2)
        elif self.delay > self.min_delay:
            # Only successful responses get here: error pages are fast, and a failing host must not speed us up.
            self.delay = max(self.min_delay, 0.9 * self.delay if self.delay > 0.01 else 0.0)

    def back_off(self, retry_after: float | None) -> None:
        """Records a 429 or 503: no request starts for `retry_after` seconds, or for a pause that doubles each time."""
        now = time.monotonic()
        if now >= self._paused_until:  # requests in flight when the pause began do not count again
            self._refusals += 1
            self.delay = max(self.min_delay, min(max(2 * self.delay, 0.25), MAX_DELAY))
        pause = min(2.0 ** (self._refusals - 1), MAX_DELAY) if retry_after is None else retry_after
        self._paused_until = max(self._paused_until, now + pause)

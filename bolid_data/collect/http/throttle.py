"""When the next request to a host may begin: a delay that grows when the host is slow or says so, and shrinks again."""

import asyncio
import time

LONGEST_DELAY = 60.0


class Pace:
    """One host's pace. All times in seconds.

    `delay` never goes below what manifest and robots.txt ask for. It is halved towards the host's own latency while
    answers take much longer than they did at their best (the rule of Scrapy's AutoThrottle, but only for a host that
    labours), doubles when the host answers 429 or 503, and shrinks by a tenth with every answer in good time.
    """

    def __init__(self, delay: float) -> None:
        self.floor = self.delay = delay
        self._next = 0.0  # when the next request may begin
        self._paused_until = 0.0
        self._refusals = 0  # in a row
        self._latency: float | None = None  # smoothed
        self._best = 0.0

    async def turn(self) -> None:
        """Waits for this request's turn. A pause that begins meanwhile holds for those who wait already."""
        while True:
            begin = max(time.monotonic(), self._next)
            self._next = begin + self.delay
            await asyncio.sleep(begin - time.monotonic())
            if (pause := self._paused_until - time.monotonic()) <= 0:
                return
            self._next = max(self._next, self._paused_until)
            await asyncio.sleep(pause)

    def answered(self, latency: float) -> None:
        """The host gave an answer; `latency` is the time to its first byte."""
        self._refusals = 0
        self._latency = latency if self._latency is None else 0.7 * self._latency + 0.3 * latency
        self._best = min(self._best or self._latency, self._latency)
        if self._latency > 3 * self._best + 0.25:
            self.delay = max(self.floor, (self.delay + self._latency) / 2)
        elif self.delay > self.floor:
            # Error pages are fast, so only answers come here: a failing host must not speed us up.
            self.delay = max(self.floor, 0.9 * self.delay if self.delay > 0.01 else 0.0)

    def refused(self, retry_after: float | None) -> None:
        """The host answered 429 or 503: nobody asks again before `retry_after`, or a pause that doubles."""
        now = time.monotonic()
        if now >= self._paused_until:  # what was under way when the pause began is no further refusal
            self._refusals += 1
            self.delay = max(self.floor, min(max(2 * self.delay, 0.25), LONGEST_DELAY))
        pause = min(2.0 ** (self._refusals - 1), LONGEST_DELAY) if retry_after is None else retry_after
        self._paused_until = max(self._paused_until, now + pause)

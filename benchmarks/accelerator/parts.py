"""Runs the parts of the benchmark one after the other within a deadline; none can prevent the others."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from benchmarks.accelerator.page import Page

_GRACE = 15  # seconds between the deadline and the watchdog, which ends the process
_SHORTEST_LIMIT = 90.0  # seconds


class PartTimeoutError(Exception):
    """A part took longer than there was time."""


@dataclass(frozen=True)
class Part:
    """A heading of the page and what measures it."""

    name: str
    title: str
    run: Callable[[], None]
    seconds: float
    """How long it needs about; it is not started with less time left, and stopped after twice as long, so that the
    others get their turn."""

    @property
    def limit(self) -> float:
        return max(_SHORTEST_LIMIT, 2 * self.seconds)


class Deadline:
    """The time that is left of the whole run."""

    def __init__(self, end: float) -> None:
        """`end`: by `time.monotonic`."""
        self._end = end

    @property
    def left(self) -> float:
        return self._end - time.monotonic()


def run_parts(parts: Sequence[Part], page: Page, deadline: Deadline, tidy: Callable[[], None]) -> None:
    """Measures all parts that fit the time left. `tidy` is called after each, to free memory.

    An error, a timeout or a lack of memory is recorded on the page, and the next part runs.
    """
    current = [""]
    watchdog = threading.Timer(deadline.left + _GRACE, _give_up, (page, current))
    watchdog.daemon = True
    watchdog.start()
    for part in parts:
        current[0] = part.title
        page.heading(part.title)
        if deadline.left < part.seconds:
            page.note(f"Skipped: it needs about {part.seconds:.0f} s, and {max(0.0, deadline.left):.0f} s were left.")
            continue
        started_at = time.monotonic()
        if failure := _failure(part, min(part.limit, deadline.left)):
            page.note(failure)
        tidy()
        page.report(f"{part.name} took {time.monotonic() - started_at:.1f} s")
    watchdog.cancel()


def _failure(part: Part, seconds: float) -> str | None:
    """Runs the part; says what went wrong, if anything. The traceback is printed, and is gone when this returns, so
    that it keeps no tensors."""
    try:
        with _alarm(seconds):
            part.run()
    except PartTimeoutError:
        return f"Stopped after {seconds:.0f} s, in which not all of it was done."
    except torch.OutOfMemoryError as error:
        return f"Out of memory: {_first_line(error)}"
    except Exception as error:
        traceback.print_exc()
        return f"Failed: {type(error).__name__}: {_first_line(error)}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises PartTimeoutError in the main thread after so many seconds."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise PartTimeoutError

    original = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.01, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, original)


def _give_up(page: Page, current: list[str]) -> None:
    """Ends a process that no alarm can interrupt, as while a kernel or a compiler hangs."""
    page.note(f"Ended by the watchdog during: {current[0]}.")
    os._exit(1)

"""Limits of decoding: pixels of one photo, and of all threads of a process together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 120_000_000
"""A header that claims more is a decompression bomb, not a photo."""


class PixelBudget:
    """Lets threads decode concurrently while their photos together have at most `pixels` pixels."""

    def __init__(self, pixels: int) -> None:
        self._limit, self._held, self._changed = pixels, 0, threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._held + pixels <= self._limit)
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()


decoding = PixelBudget(MAX_PIXELS).hold
"""A decoded pixel takes three bytes, and about four times that while it is transposed, scaled and composited."""

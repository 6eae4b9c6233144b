"""How much is decoded at a time: pixels of one photo, and of all threads of a process together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 120_000_000
"""A header that claims more than this is a decompression bomb, not a photo."""


class PixelBudget:
    """Lets threads decode side by side as long as their photos together have no more than so many pixels."""

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
"""Decoded, a pixel takes three bytes, and some four times that while it is turned, scaled and laid on a background."""

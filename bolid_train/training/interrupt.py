"""Ctrl-C during training: the step is finished and a checkpoint written before the command ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bolid_data.progress import note


@contextmanager
def deferred_interrupt(deferred: bool = True) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C was pressed, which then interrupts nothing; pressed again, it does.

    `deferred`: False leaves Ctrl-C as it is, as it is outside of the main thread, where signals cannot be handled.
    """
    pressed = threading.Event()
    if not deferred or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    original = signal.getsignal(signal.SIGINT)

    def press(_signal: int, _frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, original)
        note("train: stopping after this step; press Ctrl-C again to stop at once, without a checkpoint")

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, original)

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

    `deferred`: False leaves Ctrl-C as it is. So it is outside of the main thread, where signals cannot be handled, and
    where it is ignored, as in a script's background jobs.
    """
    pressed = threading.Event()
    original = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not deferred or not in_main_thread or original == signal.SIG_IGN:
        yield pressed.is_set
        return

    def press(_signal: int, _frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, original)
        note("train: stopping after this step; press Ctrl-C again to stop at once, without a checkpoint")

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, original)

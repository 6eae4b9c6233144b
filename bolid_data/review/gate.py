"""Queries and changes take turns. DuckDB does not open a catalog to write while another thread reads it, and queries
that follow each other closely would keep a change out for long."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bolid_data.errors import BusyError


class Gate:
    """Any number of queries at once, or one change, which goes before queries that come later."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._queries, self._change_waits, self._moved = 0, False, threading.Condition()

    @contextmanager
    def query(self) -> Iterator[None]:
        with self._moved:
            self._moved.wait_for(lambda: not self._change_waits)
            self._queries += 1
        try:
            yield
        finally:
            with self._moved:
                self._queries -= 1
                self._moved.notify_all()

    @contextmanager
    def change(self, timeout: float) -> Iterator[None]:
        """Raises BusyError if an earlier change takes longer than `timeout` seconds."""
        if not self._changing.acquire(timeout=timeout):
            raise BusyError("an earlier change is still being made")
        try:
            with self._moved:
                self._change_waits = True
                self._moved.wait_for(lambda: not self._queries)
            yield
        finally:
            with self._moved:
                self._change_waits = False
                self._moved.notify_all()
            self._changing.release()

"""A worker process in another Python environment, which answers requests over a pipe.

A request is a JSON message, followed by as many messages of plain bytes as the two sides have agreed on; the worker
answers each request with one JSON object, `{"error": …}` if it failed. Its last argument is the file descriptor of its
end of the pipe, for `multiprocessing.connection.Connection`, which prefixes each message with its length. What its
libraries print goes to a file, so it cannot mix with the messages. Its standard input is open as long as this process
lives; the worker must exit when it closes.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

LAST_LINES = 3
"""Number of lines of a dead worker's output that are reported."""

GRACE = 5.0
"""Seconds in which a worker that has closed its pipe may exit by itself, so that its exit code is known."""


class WorkerError(Exception):
    """The worker answered with an error, died or hung; if it is no longer `alive`, start another."""


class Worker:
    """A process that answers one request at a time. It ends with this object.

    It runs in a session of its own: Ctrl-C reaches only its owner, and its own child processes end with it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._pipe, worker_end = Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        with worker_end:
            self._process = subprocess.Popen(
                [*command, str(worker_end.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=[worker_end.fileno()],
                start_new_session=True,
            )
        self.end = weakref.finalize(self, _end, self._process)
        """Kills the process; may be called more than once."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], data: Iterable[bytes], timeout: float) -> dict[str, Any]:
        """Sends a request and returns the response. Raises WorkerError if the response is an error, if the worker dies,
        or if it takes longer than `timeout` seconds, in which case it is killed."""
        overdue = threading.Event()

        def give_up() -> None:
            overdue.set()
            _end(self._process)  # ends the wait below, whether the worker does not read or does not answer

        watchdog = threading.Timer(timeout, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            response = self._exchange(request, data)
        except (OSError, EOFError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            self.end()
            how = f"gave no answer for {timeout:g} s" if overdue.is_set() else _cause(self._process.returncode)
            raise WorkerError(f"its worker {how}; its last output: {self._last_lines()}") from error
        except BaseException:  # the next request would get the response to this one
            self.end()
            raise
        finally:
            watchdog.cancel()
        if "error" in response:
            raise WorkerError(response["error"])
        return response

    def _exchange(self, request: dict[str, Any], data: Iterable[bytes]) -> dict[str, Any]:
        self._pipe.send_bytes(json.dumps(request).encode())
        for part in data:
            self._pipe.send_bytes(part)
        return json.loads(self._pipe.recv_bytes())

    def _last_lines(self) -> str:
        size = os.fstat(self._output.fileno()).st_size
        end = os.pread(self._output.fileno(), 4096, max(0, size - 4096)).decode(errors="replace")
        return " | ".join([line.strip() for line in end.splitlines() if line.strip()][-LAST_LINES:]) or "nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _cause(returncode: int) -> str:
    if returncode == -signal.SIGKILL:
        return "was killed (out of memory?)"
    if returncode < 0:
        return f"died of {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"

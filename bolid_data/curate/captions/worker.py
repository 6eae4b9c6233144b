"""A program in another Python environment that works for this process, asked over a pipe.

A message is JSON, and after a question come as many messages of plain bytes as the two agree on; the worker answers
each question with one JSON object, `{"error": …}` where it failed. Its last argument is the number of its end of the
pipe, for `multiprocessing.connection.Connection`, which sends each message behind its length. What its libraries
print goes to a file of its own and cannot come between. Its standard input is open as long as this process lives:
when that ends, the worker has to.
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

LAST_WORDS = 3
"""Lines that are told of what a dead worker printed."""

GRACE = 5.0
"""Seconds in which a worker that has closed its pipe may end by itself, and so say how."""


class WorkerError(Exception):
    """The worker answered with an error, died or hung; where it is not `alive` any more, start another."""


class Worker:
    """A process that is asked one question at a time. It ends with this object.

    It is in a session of its own: Ctrl-C reaches only its owner, and whatever it starts itself is ended with it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._pipe, theirs = Pipe()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._printed,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.end = weakref.finalize(self, _end, self._process)
        """Kills the process; more than once does no harm."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any], data: Iterable[bytes], timeout: float) -> dict[str, Any]:
        """The worker's answer. Raises WorkerError where it is an error, where the worker dies over the question, and
        where it takes longer than `timeout` seconds, which ends it."""
        overdue = threading.Event()

        def give_up() -> None:
            overdue.set()
            _end(self._process)  # which ends the waiting below, whether the worker does not listen or does not answer

        watchdog = threading.Timer(timeout, give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            answer = self._exchange(question, data)
        except (OSError, EOFError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            self.end()
            how = f"gave no answer for {timeout:g} s" if overdue.is_set() else _cause(self._process.returncode)
            raise WorkerError(f"its worker {how}, and said last: {self._last_words()}") from error
        except BaseException:  # the next question would get the answer to this one
            self.end()
            raise
        finally:
            watchdog.cancel()
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _exchange(self, question: dict[str, Any], data: Iterable[bytes]) -> dict[str, Any]:
        self._pipe.send_bytes(json.dumps(question).encode())
        for part in data:
            self._pipe.send_bytes(part)
        return json.loads(self._pipe.recv_bytes())

    def _last_words(self) -> str:
        size = os.fstat(self._printed.fileno()).st_size
        end = os.pread(self._printed.fileno(), 4096, max(0, size - 4096)).decode(errors="replace")
        return " | ".join([line.strip() for line in end.splitlines() if line.strip()][-LAST_WORDS:]) or "nothing"


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

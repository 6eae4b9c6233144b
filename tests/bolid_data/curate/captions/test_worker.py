"""The supervisor, with real processes: they answer, print, fail, die and hang."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from bolid_data.curate.captions.worker import Worker, WorkerError
from tests.support.ended import gone

PROGRAM = """
import json, os, signal, sys, threading, time
from multiprocessing.connection import Connection
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
pipe = Connection(int(sys.argv[-1]))
while True:
    request = json.loads(pipe.recv_bytes())
    if request["do"] == "die":
        print("loading…", "out of ideas", sep="\\n", file=sys.stderr)
        os.kill(os.getpid(), getattr(signal, request["of"]))
    if request["do"] == "leave":
        raise SystemExit(3)
    if request["do"] == "hang":
        time.sleep(600)
    if request["do"] == "print":
        print("progress: 50 %\\n" * 100_000, flush=True)
        os.write(2, b"\\x00\\x00\\x00\\x05{\\n")
    parts = [len(pipe.recv_bytes()) for _ in range(request.get("parts", 0))]
    error = {"error": "RuntimeError: no"} if request["do"] == "fail" else {}
    pipe.send_bytes(json.dumps({"parts": parts, "pid": os.getpid()} | error).encode())
"""
PATIENCE = 20.0


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker([sys.executable, "-c", PROGRAM])
    yield worker
    worker.end()


def test_each_request_gets_its_answer_and_its_bytes_arrive(worker: Worker) -> None:
    for sizes in ([], [5_760_000, 0, 1]):
        answer = worker.ask({"do": "answer", "parts": len(sizes)}, map(bytes, sizes), PATIENCE)
        assert answer == {"parts": sizes, "pid": worker.pid}


def test_what_libraries_print_does_not_come_between(worker: Worker) -> None:
    assert worker.ask({"do": "print"}, (), PATIENCE)["pid"] == worker.pid
    assert worker.ask({"do": "answer"}, (), PATIENCE)["pid"] == worker.pid


def test_an_error_is_raised_and_the_worker_goes_on(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="RuntimeError: no"):
        worker.ask({"do": "fail"}, (), PATIENCE)
    assert worker.ask({"do": "answer"}, (), PATIENCE)["pid"] == worker.pid


@pytest.mark.parametrize(
    ("order", "how"),
    [
        (
            {"do": "die", "of": "SIGKILL"},
            r"was killed \(out of memory\?\); its last output: loading… \| out of ideas",
        ),
        ({"do": "die", "of": "SIGSEGV"}, "died of SIGSEGV"),
        ({"do": "leave"}, "ended with exit code 3; its last output: nothing"),
    ],
)
def test_the_error_for_a_dead_worker_has_its_last_output(worker: Worker, order: dict[str, str], how: str) -> None:
    with pytest.raises(WorkerError, match=how):
        worker.ask(order, (), PATIENCE)
    assert not worker.alive
    with pytest.raises(WorkerError, match=how):
        worker.ask({"do": "answer"}, (), PATIENCE)


@pytest.mark.parametrize("size", [0, 50_000_000])
def test_a_worker_that_hangs_is_killed_even_if_it_does_not_read(worker: Worker, size: int) -> None:
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"gave no answer for 0\.5 s"):
        worker.ask({"do": "hang", "parts": 1}, [bytes(size)], 0.5)
    assert time.monotonic() - began < 10
    assert gone(worker.pid)


def test_an_interrupted_request_ends_the_worker_so_that_no_other_gets_its_response(worker: Worker) -> None:
    # To this thread: threads of other libraries may not handle signals.
    ctrl_c = threading.Timer(0.5, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where nobody could press Ctrl-C, it is ignored
    try:
        ctrl_c.start()
        with pytest.raises(KeyboardInterrupt):
            worker.ask({"do": "hang"}, (), PATIENCE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone(worker.pid)


def test_it_ends_with_the_object() -> None:
    worker = Worker([sys.executable, "-c", PROGRAM])
    pid = worker.pid
    worker.ask({"do": "answer"}, (), PATIENCE)
    del worker
    assert gone(pid)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_owner_even_if_that_is_killed(end: int) -> None:
    owner = f"""
import signal
from bolid_data.curate.captions.worker import Worker
signal.signal(signal.SIGINT, signal.default_int_handler)  # where nobody could press Ctrl-C, it is ignored
worker = Worker([{sys.executable!r}, "-c", {PROGRAM!r}])
print(worker.ask({{"do": "answer"}}, (), 20)["pid"], flush=True)
worker.ask({{"do": "hang"}}, (), 60)
"""
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        time.sleep(0.3)
        os.kill(process.pid, end)
    assert gone(pid)

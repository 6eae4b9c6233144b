"""Two processes of one distributed group, without the agent of `torchrun`: what it tells each is said here."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import ROOT


def run_two(arguments: Sequence[str | Path], seconds: float) -> None:
    """Runs `python ARGUMENTS` as ranks 0 and 1 on one thread each and no GPU. What fails or hangs, with where each of
    its threads stands, is what the assertion says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT), "TORCHELASTIC_RUN_ID": "test"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *arguments],
            env=os.environ | group | alone | {"RANK": rank, "LOCAL_RANK": rank},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    failures = []
    for rank, process in enumerate(processes):
        with process:
            try:
                _, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)
                _, errors = process.communicate()
        failures.append(f"rank {rank} ended with {process.returncode}:\n{errors}")
    assert [process.returncode for process in processes] == [0, 0], "\n".join(failures)

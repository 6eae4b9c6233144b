"""The benchmark of an accelerator, rehearsed on a CPU: it measures, keeps to its time and loses nothing."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def _command(page: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.accelerator", "--small", "--out", str(page), *arguments]


def _run(page: Path, *arguments: str) -> str:
    done = subprocess.run(_command(page, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return page.read_text()


@pytest.mark.slow
def test_it_measures_the_cache_and_steps_of_both_stages(tmp_path: Path) -> None:
    page = _run(tmp_path / "page.md", "--only", "cache,checkpointing,operators", "--minutes", "4")
    assert "This is a rehearsal on a narrow base, not a measurement of a card" in page
    assert "Failed" not in page and "Stopped" not in page
    for part in ("target", "prompt", "reference", "view-embedding", "view-latents"):
        assert re.search(rf"\| of which `{part}` \| [\d.]+ \| [\d.]+ \|", page)
    [error] = re.findall(r"\| in the cache \| (\S+) \|", page)
    assert 0 < float(error) < 1e-2
    assert re.search(r"\| step, L_diff, checkpointing, \w+, no EMA \| 8 \| \d+ \| [\d.]+ \|", page)
    counts = dict(re.findall(r"\| the stock UNet, forward and backward, (.+?) \| \d+ \| (\d+) \|", page))
    assert int(counts["pure bfloat16"]) < 10 < 1000 < int(counts["autocast over float32 weights"])


def test_what_does_not_fit_the_time_is_named(tmp_path: Path) -> None:
    page = _run(tmp_path / "page.md", "--minutes", "0.01")
    assert page.count("\nSkipped: it needs about ") == page.count("\n## ") > 10


def test_a_run_that_is_killed_leaves_what_it_has_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    with subprocess.Popen(_command(page), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (page.is_file() and "| product of" in page.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert "TFLOP/s" in page.read_text() and "Photos: drawn in" in page.read_text()


def test_an_unknown_part_is_named_with_those_there_are(tmp_path: Path) -> None:
    done = subprocess.run(
        _command(tmp_path / "page.md", "--only", "steps,sleep"), cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "no part is called sleep; there are card, cache, steps" in done.stderr

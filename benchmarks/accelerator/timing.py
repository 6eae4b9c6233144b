"""Times on a device, and the memory in use meanwhile."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

GB = 1e9


@dataclass(frozen=True)
class Timing:
    """Of several runs of the same."""

    seconds: float  # the median
    runs: int
    peak: float | None  # GB that torch had allocated at most; None without an accelerator

    @property
    def milliseconds(self) -> str:
        return f"{1e3 * self.seconds:.0f}" if self.seconds >= 0.1 else f"{1e3 * self.seconds:.1f}"

    @property
    def memory(self) -> str:
        return "–" if self.peak is None else f"{self.peak:.1f}"


def synchronize() -> None:
    """Waits for the accelerator, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def free_memory() -> None:
    """Returns unused memory to the accelerator and forgets the peak."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> float | None:
    """GB that torch has allocated at most since `free_memory`; None without an accelerator."""
    return torch.cuda.max_memory_allocated() / GB if torch.cuda.is_available() else None


def measure(run: Callable[[], object], runs: int, warmup: int = 1) -> Timing:
    """The median time of `run`, called `runs` times after `warmup` calls that do not count."""
    free_memory()
    for _ in range(warmup):
        run()
    seconds = []
    for _ in range(runs):
        synchronize()
        started_at = time.perf_counter()
        run()
        synchronize()
        seconds.append(time.perf_counter() - started_at)
    return Timing(statistics.median(seconds), runs, peak_memory())

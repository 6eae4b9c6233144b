"""Where the time of a step goes: kernels by kind, and how long the device waits for them to be launched."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import synchronize
from benchmarks.accelerator.workbench import Workbench

_KINDS = {
    "attention": ("flash", "fmha", "sdpa", "softmax", "attention"),
    "convolution": ("conv", "dgrad", "fprop", "wgrad", "implicit"),
    "change of layout": ("nchw", "nhwc"),
    "matrix product": ("gemm", "nvjet", "cutlass", "cublas", "xmma", "gemv", "mm", "linear"),
    "normalisation": ("norm", "rowwise", "welford"),
    "optimizer": ("adam", "multi_tensor", "foreach"),
    "copy or conversion": ("copy", "memcpy", "memset", "cat"),
    "reduction": ("reduce", "sum", "mean"),
    "elementwise": ("elementwise", "vectorized", "mul", "add", "div", "silu", "gelu", "fill", "zero"),
}
"""Kinds of kernels, by parts of their names; the first that matches counts."""


@dataclass
class Profile:
    """Kernels of one run; on a CPU, operators."""

    wall: float  # seconds, without the profiler
    busy: float = 0.0  # seconds that kernels ran
    launches: int = 0
    kinds: dict[str, tuple[float, int]] = field(default_factory=dict)  # seconds and launches
    longest: list[tuple[str, float, int]] = field(default_factory=list)  # name, seconds, launches

    @property
    def idle(self) -> float:
        """The share of the wall time in which no kernel ran."""
        return max(0.0, 1 - self.busy / self.wall)


def profiled(run: Callable[[], object], device: torch.device) -> Profile:
    """Profiles the second of two runs after a warm-up; the first gives the wall time."""
    run()
    synchronize()
    started_at = time.perf_counter()
    run()
    synchronize()
    result = Profile(time.perf_counter() - started_at)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities, acc_events=True) as profiler:
        run()
        synchronize()
    kinds: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for name, seconds, count in _events(profiler, device):
        kind = _kind(name)
        kinds[kind] = kinds[kind][0] + seconds, kinds[kind][1] + count
        result.busy, result.launches = result.busy + seconds, result.launches + count
        result.longest.append((name, seconds, count))
    result.kinds = dict(sorted(kinds.items(), key=lambda entry: -entry[1][0]))
    result.longest = sorted(result.longest, key=lambda entry: -entry[1])[:8]
    return result


def _events(profiler: Any, device: torch.device) -> list[tuple[str, float, int]]:
    """Names, seconds and counts of kernels; on a CPU, of operators, whose own time is what no other is called in."""
    averages = profiler.key_averages()
    if device.type == "cuda":
        # Annotations, such as that of an optimizer's step, span kernels that are counted themselves.
        kernels = [event for event in averages if event.device_type == DeviceType.CUDA and not event.is_user_annotation]
        return [(event.key, event.self_device_time_total / 1e6, event.count) for event in kernels]
    operators = [event for event in averages if event.key.startswith("aten::")]
    return [(event.key, event.self_cpu_time_total / 1e6, event.count) for event in operators]


def _kind(name: str) -> str:
    lower = name.lower()
    return next((kind for kind, parts in _KINDS.items() if any(part in lower for part in parts)), "other")


def measure_kernels(bench: Workbench, page: Page) -> None:
    """A step of stage 1 at batch 4."""
    training = bench.training(bench.manifest())
    bench.resize(training, 4)
    batches = training.load(1)
    result = profiled(lambda: training.step(batches), bench.device)
    what = "kernels" if bench.device.type == "cuda" else "operators, nested ones counted too"
    page.note(
        f"A step of 4 photos: {1e3 * result.wall:.0f} ms, {result.launches} {what} in {1e3 * result.busy:.0f} ms, "
        f"so the device is idle for {result.idle:.0%}."
    )
    table = page.table("kind", "ms", "share", "launches")
    for kind, (seconds, count) in result.kinds.items():
        table.add(kind, f"{1e3 * seconds:.1f}", f"{seconds / max(result.busy, 1e-9):.0%}", count)
    longest = page.table("longest", "ms", "launches")
    for name, seconds, count in result.longest:
        longest.add(f"`{name[:100]}`".replace("|", "/"), f"{1e3 * seconds:.1f}", count)

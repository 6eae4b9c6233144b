"""A row of a benchmark: ours and a named simple alternative, timed in turn in one run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """`ratio` is the throughput ours / theirs: above 1 ours is faster."""

    what: str
    ours: float
    alternative: str
    theirs: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    def cells(self) -> list[str]:
        return [self.what, self.alternative, f"{self.ours:.1f}", f"{self.theirs:.1f}", self.unit, f"{self.ratio:.2f}×"]


def compare(
    what: str, amount: float, unit: str, ours: Callable[[], object], alternatives: dict[str, Callable[[], object]]
) -> list[Row]:
    """Times each in turn, ROUNDS times, and compares medians, so that drift of the machine affects all alike."""
    runs = {"": ours} | alternatives
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    speed = {name: amount / statistics.median(times) for name, times in seconds.items()}
    return [Row(what, speed[""], name, speed[name], unit) for name in alternatives]

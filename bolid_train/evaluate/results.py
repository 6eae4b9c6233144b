"""What is measured of a method: person by person, the means over its runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Sets = dict[str, list[int]]
"""The sets of people that the table is of: name → the people's numbers."""


@dataclass(frozen=True)
class Measured:
    """Of one run, or the means of several. P people."""

    scores: dict[str, Tensor]  # metric → (P,), a value a person, NaN where there is none
    quality: dict[str, dict[str, dict[str, Any]]]  # set → metric of all its pictures together → interval
    seeds: tuple[float, ...]  # mean body_sim of each run


@dataclass(frozen=True)
class Result:
    """A method with so many photos of a person, and some of its first run's pictures by the people's numbers."""

    method: str
    views: int
    measured: Measured
    pictures: dict[int, Tensor]


def mean_of(runs: Sequence[Measured]) -> Measured:
    """The means over runs of the same people; of an interval, the means of its ends."""
    scores = {name: torch.stack([run.scores[name] for run in runs]).nanmean(0) for name in runs[0].scores}
    quality = {
        of: {name: _mean_interval([run.quality[of][name] for run in runs]) for name in metrics}
        for of, metrics in runs[0].quality.items()
    }
    return Measured(scores, quality, tuple(seed for run in runs for seed in run.seeds))


def _mean_interval(intervals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    return intervals[0] | {end: mean([one[end] for one in intervals]) for end in ("mean", "low", "high")}

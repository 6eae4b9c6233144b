"""What is reported of measured methods: rows, differences between methods, notes and pictures.

All methods draw the same people by the same prompts and noise, so the fair question is by how much one keeps each
person better. That people differ widens a method's own interval, and not that of a difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bolid_train.data.shard_dataset import Shards
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.compared import BASE, LORA
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.measuring import Yardstick
from bolid_train.evaluate.painting import to_image
from bolid_train.evaluate.table import interval, make_rows

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


METRIC = "body_sim"


def differences(results: Sequence[Result], sets: Sets) -> list[dict[str, Any]]:
    """For each set and number of photos, of the best method first: its body_sim minus that of the method next below it
    in the ranking, and minus the base's, with the paired 95 % bootstrap interval over people."""
    found = []
    for of, people in sets.items():
        for views in sorted({result.views for result in results}):
            values = {
                result.method: result.measured.scores[METRIC][people]
                for result in results
                if of in result.measured.quality and (result.views == views or result.method == BASE)
            }
            for method, other in _pairs(values):
                about = {"method": method, "minus": other, "views": views, "set": of, "metric": METRIC}
                found.append(about | interval(values[method] - values[other]))
    return found


def _pairs(values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
    ranking = sorted(values, key=lambda method: -float(values[method].nanmean()))
    for place, method in enumerate(ranking):
        if method != BASE:
            for other in dict.fromkeys([*ranking[place + 1 : place + 2], BASE]):
                yield method, other


def rows_of(results: Sequence[Result], sets: Sets) -> list[dict[str, Any]]:
    """The rows of the table: the sets one after another, each with the methods that were measured on it."""
    rows = []
    for of, people in sets.items():
        for result in results:
            measured = result.measured
            if of in measured.quality:
                scores = {name: values[people] for name, values in measured.scores.items()}
                rows += make_rows(result.method, result.views, of, scores, measured.quality[of], len(measured.seeds))
    return rows


def notes_of(yardstick: Yardstick, results: Sequence[Result]) -> Iterator[str]:
    """What one has to know to read the table."""
    yield "In brackets: 95 % interval over people; that of a difference is of the differences of the same people."
    yield (
        f"body_sim: 0 is a cosine of {yardstick.different:.3f}, as to photos of other people; 1 of "
        f"{yardstick.same:.3f}, as of one photo to others of the same person."
    )
    yield f"limb_error: between different people {yardstick.strangers:.1f} %, which is what a failure counts."
    if any(result.method == LORA for result in results):
        yield "lora: each for its own person; drawn one person at a time, so its seconds are of smaller batches."
    for result in results:
        if len(seeds := result.measured.seeds) > 1:
            yield (
                f"{result.method}, {_photos(result.views)}: a person's value is the mean over {len(seeds)} seeds; each "
                f"seed's own mean of body_sim is {min(seeds):.3f} to {max(seeds):.3f}."
            )


def write_pictures(
    results: Sequence[Result], cases: Sequence[Case], shown: Sequence[int], shards: Shards, path: Path
) -> None:
    """One person a row: the reference with the first prompt under it, then what each method drew for that, with the
    most photos, and without any where it can."""
    most = {result.method: result.views for result in sorted(results, key=lambda result: result.views)}
    columns = [result for result in results if result.views in (0, most[result.method])]
    titles = [one.method if one.method == BASE else f"{one.method}\n{_photos(one.views)}" for one in columns]
    rows = [
        [
            (shards.photo(cases[person].reference), cases[person].prompts[0].caption),
            *((to_image(one.pictures[person]), "") if person in one.pictures else None for one in columns),
        ]
        for person in shown
    ]
    write_grid(["reference", *titles], rows, path)


def _photos(count: int) -> str:
    return f"{count or 'no'} photo{'s' * (count > 1)}"

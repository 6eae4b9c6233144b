"""The report on evaluated methods: rows, differences between methods, notes and images.

All methods generate the same people with the same prompts and noise, so the fair comparison is by how much a method is
better for each person. The variation between people widens a method's interval, but not that of a difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.finished_runs import BASE
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.image_generator import to_image
from bolid_train.evaluate.scorer import Scorer
from bolid_train.evaluate.table import interval, make_rows

Sets = dict[str, list[int]]
"""The sets of people in the table: name → the people's numbers."""


@dataclass(frozen=True)
class Measurements:
    """The measurements of one run, or the means over several. P people."""

    scores: dict[str, Tensor]  # metric → (P,), a value per person, NaN for none
    quality: dict[str, dict[str, dict[str, Any]]]  # set → metric of all its images → interval
    seeds: tuple[float, ...]  # mean body_sim of each run


@dataclass(frozen=True)
class Result:
    """A method with a number of photos per person, and some images of its first run by the people's numbers."""

    method: str
    views: int
    measurements: Measurements
    images: dict[int, Tensor]
    is_subject_driven: bool = False  # each run is of one person, and generates images of that person alone


def mean_measurements(runs: Sequence[Measurements]) -> Measurements:
    """The means over runs with the same people; of intervals, the means of their ends."""
    scores = {name: torch.stack([run.scores[name] for run in runs]).nanmean(0) for name in runs[0].scores}
    quality = {
        set_name: {name: _mean_interval([run.quality[set_name][name] for run in runs]) for name in metrics}
        for set_name, metrics in runs[0].quality.items()
    }
    return Measurements(scores, quality, tuple(seed for run in runs for seed in run.seeds))


def _mean_interval(intervals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def mean(values: list[float | None]) -> float | None:
        numbers = [value for value in values if value is not None]
        return sum(numbers) / len(numbers) if len(numbers) == len(values) else None

    return intervals[0] | {end: mean([one[end] for one in intervals]) for end in ("mean", "low", "high")}


METRIC = "body_sim"


def differences(results: Sequence[Result], sets: Sets) -> list[dict[str, Any]]:
    """For each set and number of photos, starting with the best method: its body_sim minus that of the next method in
    the ranking, and minus the base's, with the paired 95 % bootstrap interval over people."""
    rows = []
    for set_name, people in sets.items():
        for views in sorted({result.views for result in results}):
            values = {
                result.method: result.measurements.scores[METRIC][people]
                for result in results
                if set_name in result.measurements.quality and (result.views == views or result.method == BASE)
            }
            for method, other in _pairs(values):
                row = {"method": method, "minus": other, "views": views, "set": set_name, "metric": METRIC}
                rows.append(row | interval(values[method] - values[other]))
    return rows


def _pairs(values: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
    ranking = sorted(values, key=lambda method: -float(values[method].nanmean()))
    for place, method in enumerate(ranking):
        if method != BASE:
            for other in dict.fromkeys([*ranking[place + 1 : place + 2], BASE]):
                yield method, other


def table_rows(results: Sequence[Result], sets: Sets) -> list[dict[str, Any]]:
    """The rows of the table, set by set, each with the methods that were measured on it."""
    rows = []
    for set_name, people in sets.items():
        for result in results:
            quality = result.measurements.quality.get(set_name)
            if quality is not None:
                scores = {name: values[people] for name, values in result.measurements.scores.items()}
                seeds = len(result.measurements.seeds)
                rows += make_rows(result.method, result.views, set_name, scores, quality, seeds)
    return rows


def table_notes(scorer: Scorer, results: Sequence[Result]) -> Iterator[str]:
    """The explanations below the table."""
    yield "In brackets: 95 % interval over people; that of a difference is of the differences of the same people."
    yield (
        f"body_sim: 0 is a cosine of {scorer.different:.3f}, as to photos of other people; 1 of "
        f"{scorer.same:.3f}, as of one photo to others of the same person."
    )
    yield f"limb_error: between different people {scorer.error_between_people:.1f} %, which is what a failure counts."
    for method in dict.fromkeys(result.method for result in results if result.is_subject_driven):
        yield f"{method}: each for its own person; drawn one person at a time, so its seconds are of smaller batches."
    for result in results:
        if len(seeds := result.measurements.seeds) > 1:
            yield (
                f"{result.method}, {_photos(result.views)}: a person's value is the mean over {len(seeds)} seeds; each "
                f"seed's own mean of body_sim is {min(seeds):.3f} to {max(seeds):.3f}."
            )


def write_image_grid(
    results: Sequence[Result], cases: Sequence[Case], shown: Sequence[int], shards: ShardDataset, path: Path
) -> None:
    """Writes a grid with one row per person: the reference with the first prompt under it, then each method's image
    of that prompt, with the most photos, and with none if the method can."""
    max_views = {result.method: result.views for result in sorted(results, key=lambda result: result.views)}
    columns = [result for result in results if result.views in (0, max_views[result.method])]
    titles = [one.method if one.method == BASE else f"{one.method}\n{_photos(one.views)}" for one in columns]
    rows = [
        [
            (shards.photo(cases[person].reference), cases[person].prompts[0].caption),
            *((to_image(one.images[person]), "") if person in one.images else None for one in columns),
        ]
        for person in shown
    ]
    write_grid(["reference", *titles], rows, path)


def _photos(count: int) -> str:
    return f"{count or 'no'} photo{'s' * (count > 1)}"

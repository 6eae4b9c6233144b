"""Differences between methods: all draw the same people by the same prompts and noise, so the fair question is by how
much one keeps each person better. That people differ widens a method's own interval, and not this one."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from bolid_train.evaluate.compared import BASE
from bolid_train.evaluate.results import Result, Sets
from bolid_train.evaluate.table import interval

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

"""Differences between methods: of the same people, each with the next in the ranking and with the base."""

import torch
from torch import Tensor

from bolid_train.evaluate.report import Measurements, Result, differences
from bolid_train.evaluate.table import interval

PEOPLE = 3 * torch.randn(30, generator=torch.Generator().manual_seed(0))
SETS = {"drawn/val": list(range(30)), "drawn/val, some": [0, 1, 2]}


def _result(method: str, views: int, values: Tensor, *of: str) -> Result:
    quality: dict[str, dict] = {name: {} for name in of or SETS}
    return Result(method, views, Measurements({"body_sim": values}, quality, (float(values.mean()),)), {})


RESULTS = [
    _result("text", 0, PEOPLE),
    _result("good", 1, PEOPLE + 0.2),
    _result("better", 1, PEOPLE + 0.5 + 0.1 * PEOPLE.roll(1).sin()),
    _result("worse", 1, PEOPLE - 0.1),
    _result("better", 0, PEOPLE + 0.1),
    _result("special", 1, PEOPLE + 2.0, "drawn/val, some"),
]


def test_each_method_is_compared_with_the_next_in_the_ranking_and_with_the_base() -> None:
    found = differences(RESULTS, SETS)
    assert [(row["views"], row["method"], row["minus"]) for row in found if row["set"] == "drawn/val"] == [
        (0, "better", "text"), (1, "better", "good"), (1, "better", "text"), (1, "good", "text"), (1, "worse", "text"),
    ]  # fmt: skip
    assert {row["metric"] for row in found} == {"body_sim"}


def test_a_difference_is_told_where_the_methods_own_intervals_overlap() -> None:
    [better, good] = [interval(RESULTS[number].measurements.scores["body_sim"]) for number in (2, 1)]
    assert better["low"] < good["high"], "people differ more than methods do"
    row = differences(RESULTS, SETS)[1]
    assert 0.2 < row["low"] < row["mean"] < row["high"] < 0.4 and row["people"] == 30


def test_who_is_measured_on_some_people_alone_is_compared_on_these() -> None:
    found = [row for row in differences(RESULTS, SETS) if row["method"] == "special"]
    assert [(row["set"], row["minus"], row["people"]) for row in found] == [
        ("drawn/val, some", "better", 3), ("drawn/val, some", "text", 3),
    ]  # fmt: skip

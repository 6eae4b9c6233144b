"""The table: intervals that mean what they say, and the form that programs rely on."""

import json
from pathlib import Path

import pytest
import torch

from bolid_train.evaluate.table import interval, make_rows, write_table


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    found = [interval(torch.randn(40, generator=generator) + 3) for _ in range(100)]
    assert 88 <= sum(row["low"] <= 3 <= row["high"] for row in found) <= 99


def test_people_of_whom_nothing_can_be_told_are_not_counted() -> None:
    row = interval(torch.tensor([1.0, torch.nan, 3.0]))
    assert (row["mean"], row["people"]) == (2.0, 2)
    assert interval(torch.tensor([torch.nan])) == {"mean": None, "low": None, "high": None, "people": 0}


def test_one_person_or_people_all_alike_give_no_false_interval() -> None:
    assert interval(torch.tensor([2.0])) == {"mean": 2.0, "low": None, "high": None, "people": 1}
    assert interval(torch.tensor([2.0, 2.0])) == {"mean": 2.0, "low": 2.0, "high": 2.0, "people": 2}


def test_a_row_tells_how_many_seeds_it_is_of_and_columns_stand_in_their_order() -> None:
    whole = {"mean": 3.0, "low": 2.0, "high": 4.0, "people": 2}
    rows = make_rows("bolid", 8, "drawn/val", {"seconds": torch.ones(2), "clip_t": torch.ones(2)}, {"fid": whole}, 3)
    assert [row["metric"] for row in rows] == ["clip_t", "fid", "seconds"]
    assert rows[1].items() >= whole.items() and {row["seeds"] for row in rows} == {3}


def test_the_table_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    scores = {"body_sim": torch.tensor([0.5, 0.7]), "clip_t": torch.tensor([0.2, 0.2])}
    rows = make_rows("bolid", 8, "drawn/val", scores) + make_rows("text", 0, "drawn/val", scores)
    apart = [{"set": "drawn/val", "views": 8, "method": "bolid", "minus": "text", **interval(torch.tensor([0.1, 0.3]))}]
    write_table(rows, apart, ["Two people."], tmp_path)
    read = json.loads((tmp_path / "table.json").read_text())
    assert set(read[0]) == {"method", "views", "set", "metric", "mean", "low", "high", "people", "seeds"}
    assert [(row["method"], row["metric"]) for row in read] == [
        *[("bolid", "body_sim"), ("bolid", "clip_t"), ("text", "body_sim"), ("text", "clip_t")]
    ]
    assert read[0]["mean"] == pytest.approx(0.6)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2].startswith("| drawn/val | bolid | 8 | 0.6 [0.5, 0.7] |")
    assert lines[3].startswith("| drawn/val | text")
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert "| drawn/val | 8 | bolid | text | 0.2 [0.1, 0.3] |" in lines
    assert json.loads((tmp_path / "differences.json").read_text()) == apart
    assert lines[-1] == "Two people."

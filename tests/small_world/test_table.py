"""The table of committed adapters: two sets in one, and what is found where it cannot be measured again."""

import json
from pathlib import Path

import pytest
import torch

from bolid_data.manifest import Manifest
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.evaluate.image_generator import Sampling
from bolid_train.methods import adapter, registry
from small_world.halve import halve
from small_world.table import Row, Table, compare, measure
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards

PEOPLE = {"anna": 3, "boris": 3, "clara": 3}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """An IP-Adapter and LoRAs of two people of set A, measured on sets A and B."""
    folder = tmp_path_factory.mktemp("table")
    folders = {name: folder / name.lower() for name in ("A", "B")}
    for name, split in (("A", "val"), ("B", "train")):
        people = {f"{person}-{name.lower()}": count for person, count in PEOPLE.items()}
        own = drawn_people(people, split)
        write_shards(folders[name] / "shards", {who: [("val", *row[1:]) for row in rows] for who, rows in own.items()})
    runs = folder / "adapters"
    settings = _publish(folder, runs / "ip-adapter-seed0", "ip-adapter", "erik")
    for person in ("anna-a", "clara-a"):
        _publish(folder, runs / f"lora-{person}", "lora", person)
    return measure(settings, folders, runs, "val", (1,), Sampling(steps=1, guidance=0.0))


def _publish(folder: Path, to: Path, method: str, person: str) -> Manifest:
    settings = write_manifest(folder, method=method, person=person)
    base = Base.resolve(settings.train, folder)
    torch.manual_seed(0)
    installed = registry.resolve(method).make(settings.train, base)
    installed.install(Denoiser.from_settings(base, settings.train, torch.device("cpu")).unet, base)
    run = folder / "runs" / to.name
    run.mkdir(parents=True)
    (run / "losses.jsonl").write_text("")
    adapter.publish(run, installed, settings.train, base, 0, [person], folder, photos=1)
    halve(run, to)
    return settings


def test_both_sets_stand_in_one_table_and_loras_on_their_own_people_alone(table: Table) -> None:
    methods = {
        of: {row["method"] for row in table.rows if row["set"] == of} for of in {row["set"] for row in table.rows}
    }
    assert methods == {
        "A": {"text", "ip-adapter"}, "A, lora's people": {"text", "ip-adapter", "lora"},
        "B": {"text", "ip-adapter"},
    }  # fmt: skip
    people = {row["set"]: row["people"] for row in table.rows if row["metric"] == "failures"}
    assert people == {"A": 3, "A, lora's people": 2, "B": 3}


def test_it_is_written_for_programs_and_for_people(table: Table, tmp_path: Path) -> None:
    table.write(tmp_path)
    assert json.loads((tmp_path / "table.json").read_text()) == table.rows
    text = (tmp_path / "table.md").read_text()
    assert "| A | ip-adapter | 1 |" in text and "A, B: 3 people, 4 prompts each" in text
    assert {file.name for file in tmp_path.glob("grid*")} == {"grid-a.png", "grid-b.png"}


def test_measured_again_it_is_the_same_however_long_it_takes(table: Table) -> None:
    slower = [row | {"mean": 1e3} if row["metric"] == "seconds" else row for row in table.rows]
    assert list(compare(slower, table.rows)) == []


def _row(metric: str = "body_sim", mean: float | None = 0.3, of: str = "A") -> Row:
    ends = (None, None) if mean is None else (0.2, 0.4)
    return {"set": of, "method": "bolid", "views": 8, "metric": metric, "mean": mean, "low": ends[0], "high": ends[1]}


def test_what_is_not_within_the_committed_interval_is_named() -> None:
    committed = [_row(), _row("clip_t"), _row("fd_small"), _row("pose_copy", None)]
    measured = [_row(mean=0.39), _row("clip_t", 0.45), _row("pose_copy"), _row(of="B")]
    assert list(compare(measured, committed)) == [
        "A, bolid, 8, clip_t: 0.45 is not within [0.2, 0.4]",
        "A, bolid, 8, fd_small: was not measured",
        "A, bolid, 8, pose_copy: 0.3 is not within [–, –]",
        "B, bolid, 8, body_sim: is not in the committed table",
    ]

"""The methods beside each other: committed runs are taken as they are, others are trained, and each gets a row and a
column."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bolid_train.methods import adapter
from small_world import experiments, methods
from small_world.experiments import PUBLISHED, RUNS, Experiment, train_all
from small_world.methods import COMPARED, draw, gather, measure
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards


def test_all_compared_have_as_many_steps_on_as_many_photos() -> None:
    assert {f"{name}-seed0" for name in PUBLISHED} < set(COMPARED)

    def photos(name: str) -> int:
        settings = RUNS[name].manifest.train
        before = photos(settings.start) if settings.start else 0
        return before + settings.steps * settings.batch_size * settings.gradient_accumulation

    assert len({photos(name) for name in COMPARED}) == 1


@pytest.mark.slow
def test_runs_are_gathered_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = drawn_people({"anna": 3, "boris": 3}) | drawn_people({"clara": 9, "daria": 9}, "val")
    write_shards(tmp_path / "shards", people)
    table = {"base": "small-sdxl", "image_encoder": "clip-bodies", "objective": {"detector": "tiny-keypoints"}}
    path = write_manifest(tmp_path, **table).path
    for module in (experiments, methods):
        monkeypatch.setattr(module, "MANIFEST", path)
    names = ["ip-adapter-seed0", "instantid-seed0"]
    runs = {name: Experiment({"method": name.removesuffix("-seed0"), "steps": 1}) for name in names}
    monkeypatch.setattr(methods, "RUNS", runs)
    train_all({names[0]: runs[names[0]]}, tmp_path)
    committed = shutil.move(tmp_path / "runs", tmp_path / "committed")
    work = gather(tmp_path, names, committed)
    trained = [file.name for file in (tmp_path / "runs").glob("[!.]*")]
    assert trained == [names[1]], "the other one was not trained again"
    assert [adapter.read(work / "runs" / name).method for name in names] == ["ip-adapter", "instantid"]
    measure(tmp_path, work)
    rows = json.loads((tmp_path / "evaluation" / "table.json").read_text())
    assert {(row["method"], row["views"]) for row in rows} == {
        ("text", 0), ("ip-adapter", 1), ("ip-adapter", 8), ("instantid", 1), ("instantid", 8),
    }  # fmt: skip
    draw(tmp_path, work, names, tmp_path / "people.png", [1])
    with Image.open(tmp_path / "people.png") as picture:
        assert picture.size == (725, 1022), "four columns, and a row for each prompt"

"""`bolid evaluate`, the whole way on a random base: what it writes, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest
from bolid_train.evaluate.image_generator import Sampling
from bolid_train.evaluate.run import choose_sampling, evaluate, parse_view_counts
from tests.bolid_train.evaluate.finished_run import write_run
from tests.support.drawn_shards import drawn_people, write_shards
from tests.support.small_base import small_base

FAST = Sampling(steps=2, guidance=0.0)

Table = dict[tuple[str, int, str], dict]
"""(method, photos, metric) → its row."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A dataset's folder with three people in `val`; runs of two methods, one of them with another seed too, which was
    trained on one of the people, and LoRAs of two of the people and of somebody else."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_shards(folder / "shards", drawn_people({"anna": 3, "boris": 3, "clara": 4}, "val"))
    write_run(folder, "ip-adapter", "ip-adapter", seed=0)
    write_run(folder, "other", "ip-adapter", seed=1, person="clara")
    for seed, run in enumerate(("ip-adapter", "other")):
        shutil.copytree(folder / "runs" / run, folder / "runs" / f"twice-seed{seed}")
    for seed, person in enumerate(("anna", "boris", "erik")):
        write_run(folder, f"lora-{seed}", "lora", seed, person)
    return folder, write_run(folder, "bolid", "bolid", seed=0)


@pytest.fixture(scope="module")
def result(made: tuple[Path, Manifest]) -> dict:
    """What is returned of all runs with no and two photos."""
    return evaluate(made[1], made[0], views=(0, 2), sampling=FAST)


@pytest.fixture(scope="module")
def told(made: tuple[Path, Manifest], result: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what was written of it."""
    return Path(shutil.copytree(made[0] / "evaluation", tmp_path_factory.mktemp("told") / "evaluation"))


@pytest.fixture(scope="module")
def again(made: tuple[Path, Manifest], told: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What is returned then of some of the runs, which lie elsewhere, with one and two photos."""
    elsewhere = tmp_path_factory.mktemp("adapters")
    shutil.copytree(made[0] / "runs" / "bolid", elsewhere / "bolid")
    shutil.copytree(made[0] / "runs" / "lora-0", elsewhere / "lora-0")
    return evaluate(made[1], made[0], views=(1, 2), sampling=FAST, runs_in=elsewhere)


@pytest.fixture(scope="module")
def table(result: dict) -> Table:
    """The rows of everyone."""
    return _rows(result, "/val")


@pytest.fixture(scope="module")
def loras(result: dict) -> Table:
    """The rows of the people who have a LoRA."""
    return _rows(result, "/val, lora's people")


def _rows(result: dict, of: str) -> Table:
    return {(row["method"], row["views"], row["metric"]): row for row in result["rows"] if row["set"].endswith(of)}


def test_every_run_is_measured_with_the_same_photos_and_the_base_stands_beside_them(
    told: Path, result: dict, table: Table
) -> None:
    assert json.loads((told / "table.json").read_text()) == result["rows"]
    assert json.loads((told / "differences.json").read_text()) == result["differences"]
    assert {key[:2] for key in table} == {
        ("text", 0), ("bolid", 0), ("bolid", 2), ("ip-adapter", 2), ("other", 2), ("twice", 2),
    }  # fmt: skip
    metrics = {"body_sim", "limb_error", "clip_t", "clip_i", "pose_copy", "clothes_leak", "failures", "seconds"}
    assert {key[2] for key in table} == metrics | {"fd_small", "is_small"}
    assert all(row["people"] <= 3 for row in table.values())
    assert all(row["low"] <= row["mean"] <= row["high"] for row in table.values() if row["low"] is not None)


def test_several_seeds_are_one_method_whose_numbers_are_their_means(table: Table) -> None:
    assert all(row["seeds"] == (2 if row["method"] == "twice" else 1) for row in table.values())
    for metric in ("body_sim", "limb_error", "clip_t", "clip_i", "fd_small", "is_small"):
        alone = [table[method, 2, metric]["mean"] for method in ("ip-adapter", "other")]
        assert alone[0] != alone[1]
        assert table["twice", 2, metric]["mean"] == pytest.approx(sum(alone) / 2)
        assert table["twice", 2, metric]["people"] == 3


def test_how_far_seeds_are_apart_is_said(told: Path, table: Table) -> None:
    low, high = sorted(table[method, 2, "body_sim"]["mean"] for method in ("ip-adapter", "other"))
    said = f"over 2 seeds; each seed's own mean of body_sim is {low:.3f} to {high:.3f}."
    assert f"twice, 2 photos: a person's value is the mean {said}" in (told / "table.md").read_text()


def test_a_lora_is_measured_on_its_own_person_and_the_others_beside_it_on_the_same_people(
    made: tuple[Path, Manifest], table: Table, loras: Table, again: dict
) -> None:
    assert {key[:2] for key in loras} == {("lora", 2), *(key[:2] for key in table)}
    assert all(row["people"] <= 2 for row in loras.values()), "nobody but the two"
    assert loras["bolid", 2, "clip_i"]["mean"] != table["bolid", 2, "clip_i"]["mean"]
    anna = _rows(again, "lora's people")
    boris = _rows(evaluate(made[1], made[0], ["lora-1"], views=(2,), sampling=FAST), "lora's people")
    for metric in ("body_sim", "limb_error", "clip_t", "clip_i"):
        values = [one["lora", 2, metric]["mean"] for one in (anna, boris)]
        assert loras["lora", 2, metric]["mean"] == pytest.approx(sum(values) / 2)


def test_the_base_alone_copies_nothing_and_changes_nothing(table: Table) -> None:
    assert table["text", 0, "clip_i"]["mean"] == pytest.approx(1)
    assert table["text", 0, "clothes_leak"]["mean"] in (0, None)
    assert table["bolid", 2, "clip_i"]["mean"] < 0.999
    assert table["bolid", 2, "clip_i"]["mean"] != table["bolid", 0, "clip_i"]["mean"]


def test_the_grid_shows_a_row_of_pictures_for_each_person_and_a_lora_for_its_own_alone(told: Path) -> None:
    grid = np.asarray(Image.open(told / "grid.png").convert("L"))
    height, width = grid.shape
    assert width / height == pytest.approx(8 * 1.05 * 1.8 / (0.45 + 3 * 2.55), rel=0.01), "eight columns, three rows"
    pictures = [grid[int(height * (row + 0.2) / 3) : int(height * (row + 0.7) / 3), -width // 8 :] for row in range(3)]
    assert [bool((picture < 255).any()) for picture in pictures] == [True, True, False], "those who have one come first"


def test_a_run_that_was_trained_on_the_people_is_said_to_be_flattered(result: dict) -> None:
    told = [note for note in result["notes"] if "flatters" in note]
    assert told == [
        f"Run '{run}' was trained on 1 of these people, which flatters it." for run in ("other", "twice-seed1")
    ]


def test_measured_again_from_another_folder_the_numbers_are_the_same(again: dict, table: Table) -> None:
    rows = _rows(again, "/val")
    assert {key[:2] for key in rows} == {("text", 0), ("bolid", 1), ("bolid", 2)}
    for (method, views, metric), row in rows.items():
        if metric != "seconds" and views != 1:
            assert row == table[method, views, metric]
    assert rows["bolid", 1, "clip_i"]["mean"] != rows["bolid", 2, "clip_i"]["mean"]


def test_runs_that_look_at_photos_through_other_image_encoders_stand_in_one_table(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    shutil.copytree(made[0] / "shards", tmp_path / "shards")
    config = CLIPVisionConfig.from_pretrained(small_base() / "image_encoder", projection_dim=48)
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "eyes")
    manifest = write_run(tmp_path, "own", "ip-adapter", seed=0)
    write_run(tmp_path, "other", "ip-adapter", seed=0, image_encoder="eyes")
    found = evaluate(manifest, tmp_path, views=(1, 2), sampling=FAST)
    [own, other] = [_means(found, method) for method in ("own", "other")]
    assert own.keys() == other.keys() and own["clip_i", 2] != other["clip_i", 2]
    assert own == _means(evaluate(manifest, tmp_path, ["own"], views=(1, 2), sampling=FAST), "own")


def _means(result: dict, method: str) -> dict[tuple[str, int], float]:
    rows = [row for row in result["rows"] if row["method"] == method and row["metric"] != "seconds"]
    return {(row["metric"], row["views"]): row["mean"] for row in rows}


def test_test_people_wait(made: tuple[Path, Manifest]) -> None:
    with pytest.raises(BolidError, match="test people wait until nothing of the method will change"):
        evaluate(made[1], made[0], split="test")
    with pytest.raises(BolidError, match="0 people of the split"):
        evaluate(made[1], made[0], split="test", sampling=FAST, open_test_sets=True)


def test_without_a_split_the_first_with_enough_people_is_taken_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = drawn_people({"anna": 3, "boris": 3, "clara": 3}) | drawn_people({"daria": 3}, "val")
    write_shards(tmp_path / "shards", people)
    manifest = write_run(tmp_path, "own", "ip-adapter", seed=0)
    found = evaluate(manifest, tmp_path, views=(1,), sampling=FAST)
    assert {row["set"] for row in found["rows"]} == {f"{tmp_path.name}/train"}
    said = " ".join(capsys.readouterr().err.split())
    assert "split 'val' has 1 person with more than 1 photo, and two are needed; evaluating on 'train'" in said


def test_what_cannot_be_measured_is_said(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder, manifest = made
    with pytest.raises(UsageError, match="no such run as 'magic'; there are bolid, ip-adapter"):
        evaluate(manifest, folder, ["magic"])
    with pytest.raises(UsageError, match="holds no finished run"):
        evaluate(manifest, folder, runs_in=tmp_path)
    with pytest.raises(UsageError, match="1,x"):
        parse_view_counts("1,x")
    with pytest.raises(UsageError, match="give one of them"):
        choose_sampling(manifest, "small-lightning", steps=20)
    assert parse_view_counts("8,0,1") == [0, 1, 8]

"""`bolid evaluate`, the whole way on a random base: what it writes, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest
from bolid_train import adapter, conditioning
from bolid_train.base import Base
from bolid_train.denoiser import Denoiser
from bolid_train.evaluate.painting import Sampling
from bolid_train.evaluate.run import evaluate, numbers, sampling
from tests.bolid_train.conftest import drawn_people, write_manifest, write_shards

FAST = Sampling(steps=2, guidance=0.0)
REF_DIM = 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A dataset's folder with three people in `val`, and the runs `bolid` and `ip-adapter`."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_shards(folder / "shards", drawn_people({"anna": 3, "boris": 3, "clara": 4}, "val"))
    for method in ("ip-adapter", "bolid"):
        settings = write_manifest(folder, method=method)
        base = Base.find(settings.train, folder)
        torch.manual_seed(0)
        installed = conditioning.find(method)(settings.train, REF_DIM)
        installed.install(Denoiser.of(base, settings.train, torch.device("cpu")).unet)
        with torch.no_grad():
            for parameter in installed.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        run = folder / "runs" / method
        run.mkdir(parents=True)
        adapter.publish(run, installed, settings.train, base, REF_DIM, 0, ["erik"], folder)
    return folder, settings


@pytest.fixture(scope="module")
def table(made: tuple[Path, Manifest]) -> dict[tuple[str, int, str], dict]:
    """(run, photos, metric) → its row, of all runs with no, one and two photos."""
    result = evaluate(made[1], made[0], views=(0, 1, 2), how=FAST)
    assert json.loads((made[0] / "evaluation" / "table.json").read_text()) == result["rows"]
    return {(row["method"], row["views"], row["metric"]): row for row in result["rows"]}


def test_every_run_is_measured_with_the_same_photos_and_the_base_stands_beside_them(
    table: dict[tuple[str, int, str], dict],
) -> None:
    assert {key[:2] for key in table} == {
        ("text", 0), ("bolid", 0), ("bolid", 1), ("bolid", 2), ("ip-adapter", 1), ("ip-adapter", 2),
    }  # fmt: skip
    metrics = {"body_sim", "limb_error", "clip_t", "clip_i", "pose_copy", "clothes_leak", "failures", "seconds"}
    assert {key[2] for key in table} == metrics
    assert all(row["set"].endswith("/val") and row["people"] <= 3 for row in table.values())
    assert all(row["low"] <= row["mean"] <= row["high"] for row in table.values() if row["low"] is not None)


def test_the_base_alone_copies_nothing_and_changes_nothing(table: dict[tuple[str, int, str], dict]) -> None:
    assert table["text", 0, "clip_i"]["mean"] == pytest.approx(1)
    assert table["text", 0, "clothes_leak"]["mean"] in (0, None)
    assert table["bolid", 1, "clip_i"]["mean"] < 0.999
    assert table["bolid", 1, "clip_i"]["mean"] != table["bolid", 2, "clip_i"]["mean"]
    assert table["bolid", 1, "clip_i"]["mean"] != table["bolid", 0, "clip_i"]["mean"]


def test_the_grid_shows_a_row_of_pictures_for_each_person(
    made: tuple[Path, Manifest], table: dict[tuple[str, int, str], dict]
) -> None:
    width, height = Image.open(made[0] / "evaluation" / "grid.png").size
    assert width / height == pytest.approx(7 * 1.05 * 1.8 / (0.3 + 3 * 2.55), rel=0.01), "seven columns, three rows"


def test_measured_again_the_numbers_are_the_same(
    made: tuple[Path, Manifest], table: dict[tuple[str, int, str], dict]
) -> None:
    again = evaluate(made[1], made[0], ["bolid"], views=(1, 2), how=FAST)["rows"]
    for row in again:
        if row["metric"] != "seconds":
            assert row == table[row["method"], row["views"], row["metric"]]


def test_test_people_wait(made: tuple[Path, Manifest]) -> None:
    with pytest.raises(BolidError, match="test people wait until nothing of the method will change"):
        evaluate(made[1], made[0], split="test")
    with pytest.raises(BolidError, match="0 people of the split"):
        evaluate(made[1], made[0], split="test", how=FAST, open_test_sets=True)


def test_what_cannot_be_measured_is_said(made: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder, manifest = made
    run = tmp_path / "runs" / "lora-anna"
    run.mkdir(parents=True)
    about = json.loads((folder / "runs" / "bolid" / "adapter.json").read_text())
    about |= {"components": [], "method": "lora"}
    (run / "adapter.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match="'lora-anna' keeps one person only"):
        evaluate(manifest, tmp_path, ["lora-anna"])
    with pytest.raises(UsageError, match="no such run"):
        evaluate(manifest, folder, ["magic"])
    with pytest.raises(UsageError, match="holds no finished run"):
        evaluate(manifest, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="1,x"):
        numbers("1,x")
    with pytest.raises(UsageError, match="give one of them"):
        sampling(manifest, "small-lightning", steps=20)
    assert numbers("8,0,1") == [0, 1, 8]

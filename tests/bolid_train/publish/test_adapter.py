"""`bolid publish --run`: what an adapter's repository holds, and whom it was trained on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bolid_data.dataset import Dataset
from bolid_data.shard_index import ShardIndex
from bolid_data.shards import forget as forgetting
from bolid_train.methods import adapter
from bolid_train.methods.adapter import TrainedOn
from tests.bolid_train.evaluate.finished_run import write_run
from tests.support.commands import Done, bolid
from tests.support.hub import Hub, serve, visit
from tests.support.published_dataset import CONSENT, write_manifest

FILES = {
    "README.md", "adapter.json", "ref.safetensors", "body.safetensors", "encoder.safetensors", "prior.safetensors",
}  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(Hub({})) as hub:
        visit(hub, tmp_path / "cache", monkeypatch)
        yield hub


@pytest.fixture
def trained(home: Path) -> Path:
    """The dataset with a run on `anna` and `berta`."""
    root = home / "data"
    write_run(root, "mine", "bolid", seed=0)
    (root / "manifest.toml").unlink()  # of the training, with another source
    index = ShardIndex(root / "shards" / "index.duckdb")
    ids = index.ids()
    photos = [ids[row["sha256"]] for row in index.samples() if row["person"] != "carl"]
    record = TrainedOn(index.fingerprint, [ids["anna"], ids["berta"]], photos)
    change(root, people=None, trained_on=vars(record))
    run = root / "runs" / "mine"
    (run / "validation").mkdir()
    (run / "validation" / "step-00000010.png").write_bytes(b"an image")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-1.pt").write_bytes(b"a checkpoint")
    return home


def change(root: Path, **values: object) -> None:
    file = root / "runs" / "mine" / "adapter.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def publish(home: Path, *options: str | Path) -> Done:
    return bolid("publish", "m.toml", "me/adapter", "--run", "mine", *options, "--data", "data", cwd=home)


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def evaluate(home: Path) -> None:
    folder = home / "data" / "evaluation"
    folder.mkdir()
    row = {"method": "mine", "set": "val", "metric": "body_sim", "mean": 0.61234, "low": 0.5, "high": None, "people": 9}
    (folder / "table.json").write_text(json.dumps([row | {"views": 1, "seeds": 1}, row | {"method": "other"}]))
    (folder / "grid.png").write_bytes(b"a grid")


def test_it_holds_what_generates_and_no_more(trained: Path) -> None:
    evaluate(trained)
    done = publish(trained, "--dry-run", "out")
    assert done.returncode == 0, done.stderr
    assert names(trained / "out") == FILES | {"grid.png", "validation.png"}
    assert adapter.read(trained / "out").method == "bolid"  # a run, as it is
    _, header, text = (trained / "out" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["tags"] == ["people", "bolid", "ip-adapter"]
    assert "on 2 people, with 2 photos" in text
    assert "| val | 1 | body\\_sim | 0.612 | 0.500 to – | 9 |" in text
    assert text.count("body\\_sim") == 1
    assert "not loaded: its text is 80 wide" in text
    assert "| dataset | `pose` | MIT |" in text


def test_no_path_of_this_machine_leaves(trained: Path) -> None:
    base = json.loads((trained / "data/runs/mine/adapter.json").read_text())["base"]
    assert base.startswith("/")
    assert publish(trained, "--dry-run", "out").returncode == 0
    for name in ("adapter.json", "README.md"):
        assert str(Path(base).parent) not in (trained / "out" / name).read_text(encoding="utf-8")


def test_people_without_a_basis_are_refused_by_name(trained: Path) -> None:
    write_manifest(trained, CONSENT + "[consent.people.berta]\nuntil = 2020-01-01\n")
    done = publish(trained, "--dry-run", "out", "--json")
    assert (done.returncode, json.loads(done.stdout)["refused"]) == (1, {"berta": "the basis ran out on 2020-01-01"})
    assert not (trained / "out").exists()


def test_pictures_are_left_out_where_somebody_else_has_no_basis(trained: Path) -> None:
    write_manifest(trained, CONSENT + '[consent.people.carl]\nbasis = ""\n')
    done = publish(trained, "--dry-run", "out")
    assert (done.returncode, "pictures are left out" in done.stderr) == (0, True)
    assert names(trained / "out") == FILES


def test_a_run_on_somebody_who_was_forgotten_is_refused(trained: Path) -> None:
    dataset = Dataset(trained / "data")
    trace = forgetting.find(dataset, "berta")
    assert trace
    forgetting.forget(dataset, trace)
    done = publish(trained, "--dry-run", "out")
    assert (done.returncode, "stale" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "values",
    [
        {"trained_on": None},
        {"trained_on": {"key": "0" * 24, "people": ["1" * 24], "photos": []}},
        {"people": {"salt": "salt", "hashes": ["2" * 64]}, "trained_on": None},
    ],
    ids=["unknown", "another dataset", "another dataset, of 0.1"],
)
def test_a_run_on_people_whom_nobody_can_name_is_refused(trained: Path, values: dict) -> None:
    change(trained / "data", **values)
    done = publish(trained, "--dry-run", "out")
    assert (done.returncode, "not" in done.stderr) == (1, True)
    assert not (trained / "out").exists()


def test_an_evaluation_older_than_the_run_is_left_out(trained: Path) -> None:
    evaluate(trained)
    os.utime(trained / "data" / "evaluation" / "table.json", (0, 0))
    assert publish(trained, "--dry-run", "out").returncode == 0
    assert "Not evaluated." in (trained / "out" / "README.md").read_text(encoding="utf-8")
    assert "grid.png" not in names(trained / "out")


def test_weights_that_were_changed_are_refused(trained: Path) -> None:
    (trained / "data" / "runs" / "mine" / "ref.safetensors").write_bytes(b"changed")
    done = publish(trained, "--dry-run", "out")
    assert (done.returncode, "ref.safetensors" in done.stderr) == (1, True)


def test_it_is_uploaded_as_a_model(trained: Path, hub: Hub) -> None:
    done = publish(trained, "--yes")
    assert done.returncode == 0, done.stderr
    assert hub.models["me/adapter"]["main"].keys() == FILES | {"validation.png"}
    assert hub.private == {"me/adapter"}
    assert any(path.startswith("api/models/me/adapter/commit/") for path, _ in hub.requests)

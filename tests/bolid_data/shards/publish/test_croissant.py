"""Croissant as its own reader takes it, and the tars as `datasets` finds them by the card."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from bolid_data.shard_index import ShardIndex
from tests.bolid_data.shards.publish.test_publish import publish
from tests.support.paths import ROOT

_READ = """
import io, json, sys
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = dataset.metadata.ctx.issues
records = []
for record in dataset.records("samples"):
    text = {key: value.decode() if isinstance(value, bytes) else value for key, value in record.items()}
    records.append(text | {"samples/image": record["samples/image"].size})
print(json.dumps({"errors": list(issues.errors), "warnings": list(issues.warnings), "records": records}))
"""


@pytest.fixture
def folder(home: Path) -> Path:
    assert publish(home, "--dry-run", "out").returncode == 0
    return home / "out"


def test_mlcroissant_validates_it_and_reads_every_sample(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlcroissant")
    # In a process of its own: where it unpacks tars is fixed when it is imported.
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(folder / "croissant.json")],
        env={"CROISSANT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    assert (read["errors"], read["warnings"]) == ([], [])
    rows = {row["key"]: row for row in ShardIndex(folder / "shards" / "index.duckdb").samples()}
    assert {record["samples/key"] for record in read["records"]} == rows.keys()
    for record in read["records"]:
        row = rows[record["samples/key"]]
        for name in ("person", "split", "sha256", "width", "height", "caption"):
            assert record[f"samples/{name}"] == row[name]
        assert record["samples/image"] == [row["width"], row["height"]]
        assert record["samples/keypoints"] == [list(point) for point in row["keypoints"] or ()]


def test_it_says_what_personal_data_there_is(folder: Path) -> None:
    content = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    assert any("recognised" in line for line in content["rai:personalSensitiveInformation"])
    assert any("addresses" in line for line in content["rai:personalSensitiveInformation"])
    assert "opt-outs" in content["rai:dataCollection"]
    tars = {one["name"]: one for one in content["distribution"] if one.get("encodingFormat") == "application/x-tar"}
    lock = json.loads((folder / "dataset.lock.json").read_text(encoding="utf-8"))
    assert {name: one["sha256"] for name, one in tars.items()} == {
        one["shard"]: one["sha256"] for one in lock["shards"]
    }


def test_datasets_finds_the_splits_by_the_card(folder: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 6, "val": 3}
    assert {row["json"]["person"] for row in loaded["train"]} == {"anna", "berta"}

"""A folder of the version before: upgraded, read as it is, rebuilt; one of a newer version is refused by name."""

import json
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bolid_data.catalog import schema as catalog
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import lock_digest, read_lock
from bolid_data.shard_index import VERSION, ShardIndex
from bolid_data.shards.lock import index_digest
from bolid_train.methods import adapter
from tests.support.commands import Done, bolid

FIXTURE = Path(__file__).parents[1] / "fixtures" / "v1.tar.xz"
"""Version 0.1: eight drawn photos of two people as a folder, its dataset, a LoRA of alice_marsh, and clara_haas, who
was forgotten though the folder has her."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(FIXTURE) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path


def run(command: str, home: Path, *options: str) -> Done:
    return bolid(command, home / "v1.toml", *options, "--data", home / "d", cwd=home)


def test_it_is_read_as_it_is(old: Path) -> None:
    catalog = (old / "d" / "catalog.duckdb").read_bytes()
    summary = json.loads(run("status", old, "--json").stdout)
    assert (summary["total"]["kept"], summary["stale"]["photos"]) == (8, 0)
    assert run("verify", old).returncode == 0
    assert adapter.read(old / "d" / "runs" / "lora").people is not None
    assert (old / "d" / "catalog.duckdb").read_bytes() == catalog
    rebuilt = bolid("rebuild", "d/dataset.lock.json", "--folder", "photos", "--data", "again", "--json", cwd=old)
    again = json.loads(rebuilt.stdout)
    assert (again["problem"], again["missing"]) == (None, 0)
    tar = "shards/train-000000.tar"
    assert (old / "again" / tar).read_bytes() == (old / "d" / tar).read_bytes()
    pinned, index = read_json(old / "d" / "dataset.lock.json")["index"], old / "again" / "shards" / "index.duckdb"
    assert index_digest(index) != pinned == index_digest(index, added=False), "it has columns that the lock cannot know"
    assert run("verify", old).returncode == 0
    assert bolid("verify", old / "v1.toml", "--data", old / "again", cwd=old).returncode == 0


def test_it_is_upgraded(old: Path) -> None:
    before = {entry["shard"]: entry["sha256"] for entry in read_json(old / "d" / "dataset.lock.json")["shards"]}
    for step in ("scrape", "filter", "shard"):  # `caption` would caption anew: the captioner's weights are others
        assert run(step, old).returncode == 0
    lock = read_json(old / "d" / "dataset.lock.json")
    assert lock["version"] == 2
    assert {entry["shard"]: entry["sha256"] for entry in lock["shards"]} == before, "its tars stay what they were"
    assert run("verify", old).returncode == 0
    index = ShardIndex(old / "d" / "shards" / "index.duckdb")
    assert {"alice_marsh", "anton_berg"} < index.ids().keys()
    for row in index.samples():
        assert row["measures"].keys() == {
            "sharpness", "brightness", "colourfulness", "watermark", "person_score", "face_score",
        }  # fmt: skip
        assert (row["captions"], row["rotation"]) == ({}, 0)
    with Dataset(old / "d").catalog.open(read_only=True) as con:
        assert con.execute("SELECT count(*) FROM people WHERE person = 'clara_haas'").fetchone() == (0,)
    assert "clara_haas was forgotten before" in run("forget", old, "clara_haas", "--yes").stdout


def test_its_run_is_traced_generates_and_is_gone_on_with(old: Path) -> None:
    done = run("generate", old, "--run", "lora", "--prompt", "a person", "--steps", "2", "--out", str(old / "a.png"))
    assert done.returncode == 0, done.stderr
    forgotten = json.loads(run("forget", old, "alice_marsh", "--yes", "--json").stdout)
    assert forgotten["runs"] == [{"run": "lora", "trained": True}]


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_what_a_newer_version_wrote_is_refused_by_name(old: Path) -> None:
    run("dataset", old)
    data = old / "d"
    file = data / "runs" / "lora" / "adapter.json"
    newer = adapter.VERSION + 1
    file.write_text(json.dumps(read_json(file) | {"version": newer}))
    with pytest.raises(
        UsageError,
        match=rf"adapter\.json: a run of version {newer}, and this bolid reads up to {adapter.VERSION}; update bolid",
    ):
        adapter.read(file.parent)
    lock = read_json(data / "dataset.lock.json") | {"version": 3}
    (data / "dataset.lock.json").write_text(json.dumps(lock | {"sha256": lock_digest(lock)}))
    with pytest.raises(UsageError, match=r"lock\.json: a lock of version 3"):
        read_lock(data / "dataset.lock.json")
    assert "a lock of version 3" in run("verify", old).stderr
    for database, what, newest in (
        ("shards/index.duckdb", "shard index", VERSION),
        ("catalog.duckdb", "catalog", catalog.VERSION),
    ):
        with duckdb.connect(data / database) as con:
            con.execute("UPDATE about SET value = ? WHERE key = 'schema_version'", [str(newest + 1)])
        refused = run("train" if what == "shard index" else "status", old)
        assert refused.returncode == 2
        named = f"{database}: a {what} of version {newest + 1}, and this bolid reads up to {newest}; update bolid"
        assert named in refused.stderr

"""Every file that is handed on is read by a reader that did not write it."""

import json
from pathlib import Path

import datasets
import pandas
import pyarrow.parquet as pq
import pytest

from bolid_data.dataset import Dataset
from bolid_data.lockfile import read_lock
from bolid_data.shards.rebuild import rebuild_shards
from bolid_data.shards.write import shard
from tests.bolid_data.shards.test_shards import finish, manifest
from tests.support.measured_dataset import World, jpeg


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Photos with and without anybody on them: what a model did not see is NULL."""
    made = World(tmp_path / "data")
    for number in range(3):
        made.photo(data=jpeg(number))
    made.photo(data=jpeg(9), people=())
    finish(made)
    shard(manifest(tmp_path), made.dataset)
    return made


def test_the_measurements_are_read_by_arrow_pandas_and_hugging_face(world: World, tmp_path: Path) -> None:
    path = world.dataset.measurements
    table = pq.read_table(path)
    assert table.num_rows == len(pandas.read_parquet(path)) == 4
    found = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 4
    rows = {row["sha256"]: row["detections"] for row in table.to_pylist()}
    with world.dataset.catalog.open(read_only=True) as con:
        ours = con.execute("SELECT sha256, kind, score, box, keypoints FROM detections").fetchall()
    assert len(ours) == sum(map(len, rows.values()))
    for sha256, kind, score, box, keypoints in ours:
        (theirs,) = [row for row in rows[sha256] if row["kind"] == kind]
        assert (theirs["score"], theirs["box"]) == (score, list(box))
        assert theirs["keypoints"] == (keypoints and [list(point) for point in keypoints])


def test_they_come_back_as_they_were(world: World, tmp_path: Path) -> None:
    again = Dataset(tmp_path / "again")
    again.prepare()
    lock = read_lock(world.dataset.lock)
    with world.dataset.catalog.open(read_only=True) as con:
        tables = {t: con.execute(f"FROM {t} ORDER BY ALL").fetchall() for t in ("people", "photos", "sightings")}
        before = con.execute("SELECT * FROM detections ORDER BY ALL").fetchall()
    with again.catalog.open() as con:
        for name, content in tables.items():
            con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(content[0]))})", content)
    for file in world.dataset.store.files():
        again.store.keep(file, file.stem, "jpg")
    assert rebuild_shards(lock, again)["problem"] is None
    with again.catalog.open(read_only=True) as con:
        assert con.execute("SELECT * FROM detections ORDER BY ALL").fetchall() == before


def test_the_lock_is_plain_json(world: World) -> None:
    text = world.dataset.lock.read_text(encoding="utf-8")
    assert json.loads(text)["version"] == 2 and text.endswith("\n")

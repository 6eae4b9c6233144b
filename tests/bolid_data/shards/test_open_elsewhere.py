"""Every published file can be read by libraries other than the one that wrote it."""

import json
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import pandas
import polars
import pyarrow.parquet as pq
import pytest
import webdataset

from bolid_data.dataset import Dataset
from bolid_data.lockfile import read_lock
from bolid_data.shard_index import ShardIndex
from bolid_data.shards.rebuild import rebuild_shards
from bolid_data.shards.write import shard
from tests.bolid_data.shards.test_shards import finish, manifest
from tests.support.measured_dataset import World, jpeg


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three photos with a person and one without, kept by hand, whose missing values are NULL."""
    world = World(tmp_path / "data")
    for number in range(3):
        captioned = world.photo(data=jpeg(number))
    catalog = world.dataset.catalog
    catalog.decisions.decide("keep", [("anna", world.photo(data=jpeg(9), people=()))], "me", "seen from behind")
    finish(world)
    catalog.captions.record_captions("blip@1", "What is worn?", {captioned: 'a "red" top, a café'})
    shard(manifest(tmp_path), world.dataset)
    return world


def test_the_measurements_are_read_by_arrow_pandas_polars_and_hugging_face(world: World, tmp_path: Path) -> None:
    path = world.dataset.measurements
    table = pq.read_table(path)
    assert table.num_rows == len(pandas.read_parquet(path)) == 4
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 4
    assert loaded.to_list() == table.to_pylist()
    assert polars.read_parquet(path).to_dicts() == table.to_pylist()
    rows = {row["sha256"]: row["detections"] for row in table.to_pylist()}
    with world.dataset.catalog.open(read_only=True) as con:
        ours = con.execute("SELECT sha256, kind, score, box, keypoints FROM detections").fetchall()
    assert len(ours) == sum(map(len, rows.values()))
    for sha256, kind, score, box, keypoints in ours:
        (theirs,) = [row for row in rows[sha256] if row["kind"] == kind]
        assert (theirs["score"], theirs["box"]) == (score, list(box))
        assert theirs["keypoints"] == (keypoints and [list(point) for point in keypoints])


def test_the_index_is_read_by_arrow_pandas_polars_and_hugging_face(world: World) -> None:
    ours = list(ShardIndex(world.dataset.index).samples())
    assert [len(row["captions"] or {}) for row in ours].count(1) == [row["keypoints"] for row in ours].count(None) == 1
    with duckdb.connect(world.dataset.index, read_only=True) as con:
        samples = con.sql('FROM samples ORDER BY split, shard, "offset"')
        assert rows_of(samples.to_arrow_table().to_pylist()) == rows_of(ours)
        assert rows_of(samples.pl().to_dicts()) == rows_of(ours)
        assert rows_of(samples.df().replace({float("nan"): None}).to_dict("records")) == rows_of(ours)
        # Hugging Face has no maps.
        lists = "* REPLACE (map_entries(captions) AS captions, map_entries(measures) AS measures)"
        table = samples.select(duckdb.SQLExpression(lists)).to_arrow_table()
        assert rows_of(datasets.Dataset(table).to_list()) == rows_of(ours)
        for name in ("shards", "sources", "ids", "about"):
            rows = con.sql(f"FROM {name} ORDER BY ALL")
            assert rows.pl().to_dicts() == rows.df().to_dict("records") == rows.to_arrow_table().to_pylist() != []


def rows_of(rows: list[Any]) -> list[dict[str, Any]]:
    """The same types whoever read them: a map is a dict, its pairs, or its entries."""
    return [
        {
            **row,
            "captions": plain_map(row["captions"]),
            "measures": plain_map(row["measures"]),
            "keypoints": None
            if row["keypoints"] is None
            else np.stack([np.stack(point) for point in row["keypoints"]]).tolist(),
        }
        for row in rows
    ]


def plain_map(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return dict((entry["key"], entry["value"]) if isinstance(entry, dict) else entry for entry in value)


def test_the_tars_are_read_by_webdataset_and_hugging_face(world: World, tmp_path: Path) -> None:
    ours = {row["key"]: row for row in ShardIndex(world.dataset.index).samples()}
    tars = sorted(map(str, world.dataset.shards.glob("*.tar")))
    theirs = {sample["__key__"]: sample for sample in webdataset.WebDataset(tars, shardshuffle=False).decode("pil")}
    table = datasets.load_dataset("webdataset", data_files=tars, split="train", cache_dir=str(tmp_path / "cache"))
    by_key = {sample["__key__"]: sample for sample in table}
    assert ours.keys() == theirs.keys() == by_key.keys() and len(ours) == 4
    for key, row in ours.items():
        assert {name for name in theirs[key] if not name.startswith("__")} == {"jpg", "json", "txt"}
        for sample in (theirs[key], by_key[key]):
            assert sample["jpg"].size == (row["width"], row["height"])
            assert sample["txt"] == row["caption"]
            assert set(sample["json"]) == {"person", "sha256", "width", "height", "keypoints", "caption"}
            assert sample["json"]["sha256"] == row["sha256"]


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
        again.store.add(file, file.stem, "jpg")
    assert rebuild_shards(lock, again)["problem"] is None
    with again.catalog.open(read_only=True) as con:
        assert con.execute("SELECT * FROM detections ORDER BY ALL").fetchall() == before


def test_the_lock_is_plain_json(world: World) -> None:
    text = world.dataset.lock.read_text(encoding="utf-8")
    assert json.loads(text)["version"] == 2 and text.endswith("\n")

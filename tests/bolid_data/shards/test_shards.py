import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pytest
import webdataset
from PIL import Image

from bolid_data import manifest as manifests
from bolid_data.curate.judge import judge
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Filter, Manifest
from bolid_data.shards.lock import verify
from bolid_data.shards.write import shard, split_of
from tests.support.measured_dataset import CAPTIONER, MODELS, World, jpeg

EVERYTHING = Filter(min_photos_per_person=1)


def make(folder: Path, people: int = 4, photos: int = 3) -> World:
    world = World(folder / "data")
    for person in range(people):
        for photo in range(photos):
            world.photo(f"person_{person}", data=jpeg(100 * person + photo))
    return finish(world)


def finish(world: World) -> World:
    judge(world.dataset.catalog, EVERYTHING, MODELS)
    todo = world.dataset.catalog.uncaptioned(CAPTIONER, "")
    world.dataset.catalog.record_captions(CAPTIONER.id, "", {sha256: f"a photo {sha256[:4]}" for sha256 in todo})
    return world


def manifest(folder: Path, shards: str = "") -> Manifest:
    path = folder / "m.toml"
    path.write_text(f'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n[shards]\n{shards}')
    return manifests.load(path)


def tars(world: World) -> list[Path]:
    return sorted(world.dataset.shards.glob("*.tar"))


def index(world: World, table: str) -> list[dict[str, Any]]:
    with duckdb.connect(world.dataset.index, read_only=True) as con:
        found = con.table(table)
        return [dict(zip(found.columns, row, strict=True)) for row in found.order("ALL").fetchall()]


def test_a_second_run_writes_the_same_bytes(tmp_path: Path) -> None:
    world = make(tmp_path)
    shard(manifest(tmp_path), world.dataset)
    first = {path.name: path.read_bytes() for path in tars(world)}
    lock = world.dataset.lock.read_bytes()
    for path in tars(world):
        path.unlink()
    shard(manifest(tmp_path), world.dataset)
    assert {path.name: path.read_bytes() for path in tars(world)} == first
    assert world.dataset.lock.read_bytes() == lock


def test_a_view_is_one_ranged_read(tmp_path: Path) -> None:
    world = make(tmp_path)
    shard(manifest(tmp_path), world.dataset)
    samples = index(world, "samples")
    assert len(samples) == 12
    for sample in samples:
        with (world.dataset.shards / sample["shard"]).open("rb") as file:
            file.seek(sample["offset"])
            data = file.read(sample["size"])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert tar.getnames() == [f"{sample['key']}.{member}" for member in ("jpg", "json", "txt")]
            record = json.load(tar.extractfile(f"{sample['key']}.json"))  # type: ignore[arg-type]
        assert set(record) == {"person", "sha256", "width", "height", "keypoints", "caption"}
        assert record["sha256"] == sample["sha256"]
        assert sample["key"] == f"{sample['person']}-{sample['sha256'][:16]}"
        assert len(sample["keypoints"]) == len(record["keypoints"]) == 17


def test_a_person_is_in_one_shard_unless_larger_than_a_shard(tmp_path: Path) -> None:
    world = make(tmp_path)
    one = sum(path.stat().st_size for path in world.dataset.store.files()) // 4
    shard(manifest(tmp_path, f"max_size = {int(one * 1.5)}"), world.dataset)
    assert len({(s["person"], s["shard"]) for s in index(world, "samples")}) == 4
    assert max(path.stat().st_size for path in tars(world)) <= one * 1.5
    shard(manifest(tmp_path, f"max_size = {int(one * 0.8)}"), world.dataset)
    assert len({(s["person"], s["shard"]) for s in index(world, "samples")}) > 4
    for path in tars(world):
        with tarfile.open(path) as tar:
            assert len(tar.getnames()) % 3 == 0
    assert verify(world.dataset) == []


def test_members_are_an_upright_jpeg_without_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera's serial number"
    world = World(tmp_path / "data")
    turned, png, plain = jpeg(1, 1400, 1200, exif=exif), jpeg(2, image_format="PNG"), jpeg(3)
    for data in (turned, png, plain):
        world.photo(data=data)
    finish(world)
    shard(manifest(tmp_path), world.dataset)
    found = {}
    for path in tars(world):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    found[member.name.split("-")[1][:16]] = tar.extractfile(member).read()  # type: ignore[union-attr]
    assert plain in found.values(), "a plain JPEG goes in byte for byte"
    for data in found.values():
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size, dict(image.getexif())) == ("JPEG", (1200, 1400), {})
    assert b"serial" not in b"".join(found.values())
    made = {row["sha256"]: row["made"] for row in index(world, "samples")}
    shas = [hashlib.sha256(data).hexdigest() for data in (turned, png, plain)]
    assert [made[sha256] for sha256 in shas] == ["converted: turned", "converted: png", "as_is"], (
        "the index says how each came about"
    )


def test_splits_are_stable_and_by_person() -> None:
    splits = {"train": 0.8, "val": 0.1, "test": 0.1}
    before = {f"p{i}": split_of(f"p{i}", splits, 0) for i in range(1000)}
    assert 740 < sum(split == "train" for split in before.values()) < 860
    assert before != {person: split_of(person, splits, 1) for person in before}
    lists = {"train": ["a"], "test": ["b"]}
    assert [split_of(person, lists, 0) for person in "abc"] == ["train", "test", "train"]


def test_others_read_the_tars(tmp_path: Path) -> None:
    world = make(tmp_path)
    shard(manifest(tmp_path, "splits = { train = 1.0 }"), world.dataset)
    urls = [str(path) for path in tars(world)]
    read = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert {sample["json"]["person"] for sample in read} == {f"person_{i}" for i in range(4)}
    assert read[0]["jpg"].size == (1200, 1400)
    table = datasets.load_dataset("webdataset", data_files=urls, split="train", cache_dir=str(tmp_path / "cache"))
    assert len(table) == 12
    assert {"jpg", "json", "txt", "__key__"} <= set(table.column_names)
    assert table[0]["txt"].startswith("a photo")


def test_verify_names_what_changed(tmp_path: Path) -> None:
    world = make(tmp_path)
    shard(manifest(tmp_path), world.dataset)
    assert verify(world.dataset) == []

    def problems() -> dict[str, str]:
        return {entry["file"]: entry["problem"] for entry in verify(world.dataset)}

    def flip(path: Path, at: int = 700) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    tar, photos = tars(world)[0], list(world.dataset.store.files())
    flip(tar)
    flip(photos[0])
    photos[1].unlink()
    (photos[2].parent / f"{'0' * 64}.jpg").write_bytes(b"extra")
    (world.dataset.shards / "train-000099.tar").write_bytes(b"")
    flip(world.dataset.measurements)
    found = problems()
    assert found.pop(f"shards/{tar.name}") == "changed"
    assert found.pop("shards/train-000099.tar") == "extra"
    assert found.pop(f"photos/{photos[0].parent.name}/{photos[0].name}") == "changed"
    assert found.pop(f"photos/{photos[1].parent.name}/{photos[1].stem}") == "missing"
    assert found.pop("measurements.parquet") == "changed"
    assert list(found.values()) == ["extra"]
    world.dataset.index.unlink()
    assert problems()["shards/index.duckdb"] == "missing"
    flip(world.dataset.lock, at=200)
    assert list(problems()) == ["dataset.lock.json"]


def test_the_lock_pins_what_made_the_dataset(tmp_path: Path) -> None:
    world = make(tmp_path)
    world.photo("person_0", people=())
    finish(world)
    shard(manifest(tmp_path), world.dataset)
    lock = json.loads(world.dataset.lock.read_text())
    assert lock["thresholds"]["min_width"] == 1000
    assert {model["id"] for model in lock["models"]} == {*filter(None, vars(MODELS).values()), CAPTIONER.id}
    assert [photo["kept"] for photo in lock["photos"]].count(False) == 1
    assert all(photo["sightings"][0]["url"].startswith("https://a.example/") for photo in lock["photos"])
    assert {entry["shard"] for entry in lock["shards"]} == {path.name for path in tars(world)}


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    with pytest.raises(BolidError, match="no photo is kept"):
        shard(manifest(tmp_path), world.dataset)
    with pytest.raises(UsageError, match="no such lock"):
        verify(world.dataset)
    world.photo(data=jpeg(1))
    judge(world.dataset.catalog, EVERYTHING, MODELS)
    with pytest.raises(BolidError, match="1 kept photos have no caption; run `bolid caption`"):
        shard(manifest(tmp_path), world.dataset)

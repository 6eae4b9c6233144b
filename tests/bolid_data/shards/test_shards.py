import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pytest
import webdataset
from PIL import Image

from bolid_data import manifest as manifests
from bolid_data.catalog import IndexWriter
from bolid_data.curate.judge import judge
from bolid_data.errors import BolidError, UsageError
from bolid_data.lockfile import lock_digest, read_lock
from bolid_data.manifest import Filter, Manifest
from bolid_data.records import Model
from bolid_data.shard_index import ShardIndex
from bolid_data.shards.forget import find, forget
from bolid_data.shards.lock import index_digest, seal, verify
from bolid_data.shards.rebuild import import_measurements
from bolid_data.shards.write import shard, split_of
from bolid_data.shards.writer import EncodedSample, ShardWriter, member
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
    world.dataset.catalog.captions.choose_captioner(CAPTIONER, "")
    uncaptioned = world.dataset.catalog.captions.uncaptioned()
    world.dataset.catalog.captions.record_captions(
        CAPTIONER.id, "", {sha256: f"a photo {sha256[:4]}" for sha256 in uncaptioned}
    )
    return world


def manifest(folder: Path, shards: str = "") -> Manifest:
    path = folder / "m.toml"
    path.write_text(f'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n[shards]\n{shards}')
    return manifests.load(path)


def tars(world: World) -> list[Path]:
    return sorted(world.dataset.shards.glob("*.tar"))


def index(world: World, table: str) -> list[dict[str, Any]]:
    with duckdb.connect(world.dataset.index, read_only=True) as con:
        relation = con.table(table)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.order("ALL").fetchall()]


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


def test_a_sample_is_one_ranged_read(tmp_path: Path) -> None:
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
    photos = {}
    for path in tars(world):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    photos[member.name.split("-")[1][:16]] = tar.extractfile(member).read()  # type: ignore[union-attr]
    assert plain in photos.values(), "a plain JPEG is stored byte for byte"
    for data in photos.values():
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size, dict(image.getexif())) == ("JPEG", (1200, 1400), {})
    assert b"serial" not in b"".join(photos.values())
    origins = {row["sha256"]: row["made"] for row in index(world, "samples")}
    shas = [hashlib.sha256(data).hexdigest() for data in (turned, png, plain)]
    assert [origins[sha256] for sha256 in shas] == ["converted: turned", "converted: png", "as_is"], (
        "the index records how each was made"
    )


def test_the_index_holds_captions_and_measurements(tmp_path: Path) -> None:
    world = make(tmp_path, people=1, photos=3)
    catalog = world.dataset.catalog
    first, second, _ = (row["sha256"] for row in catalog.samples.kept_photos(["person_0"]))
    other = Model("blip@2", "blip", "", "{}", "MIT")
    catalog.captions.record_captions(other.id, "", {first: "no prompt", second: "alone"})
    catalog.captions.record_captions(other.id, "What is worn?", {first: "a red 'top'"})
    catalog.captions.record_captions(CAPTIONER.id, "in one word", {first: "photo"})
    with catalog.open() as con:
        con.execute("UPDATE judgement SET identity = 'alike@1'")
        con.execute("INSERT INTO likenesses VALUES ('person_0', ?, 'alike@1', 0.123456789)", [first])
        con.execute("UPDATE qualities SET sharpness = 'nan' WHERE sha256 = ?", [second])
        con.execute("INSERT INTO qualities SELECT * REPLACE ('another@1' AS model, -1 AS brightness) FROM qualities")
        con.execute("INSERT INTO body_measures VALUES ($1, 'b@1', 'stature', 1.71), ($1, 'b@1', 'bmi', 24)", [first])
    shard(manifest(tmp_path), world.dataset)
    rows = {row["sha256"]: row for row in index(world, "samples")}
    assert rows[first]["captions"] == {
        "blip@2": "no prompt",
        "blip@2: What is worn?": "a red 'top'",
        "captioner@1: in one word": "photo",
    }
    assert [row["captions"] for sha256, row in rows.items() if sha256 != first] in (
        [{"blip@2": "alone"}, {}],
        [{}, {"blip@2": "alone"}],
    )
    assert rows[first]["measures"] == {
        "sharpness": 500.0,
        "brightness": 0.5,
        "colourfulness": 40.0,
        "watermark": 0.0,
        "likeness": 0.123457,
        "person_score": 0.9,
        "face_score": 0.9,
        "stature": 1.71,
        "bmi": 24.0,
    }
    assert rows[second]["measures"].keys() == rows[first]["measures"].keys() - {
        "likeness", "sharpness", "stature", "bmi",
    }  # fmt: skip
    assert {row["rotation"] for row in rows.values()} == {0}
    assert {row["sha256"]: row for row in ShardIndex(world.dataset.index).samples()} == rows
    assert verify(world.dataset) == []


def test_a_lock_of_an_index_without_the_latest_columns_verifies_and_is_repacked(tmp_path: Path) -> None:
    world = make(tmp_path, people=2)
    shard(manifest(tmp_path), world.dataset)
    with duckdb.connect(world.dataset.index) as con:
        for column in ("captions", "measures", "rotation"):
            con.execute(f"ALTER TABLE samples DROP COLUMN {column}")
    lock = json.loads(world.dataset.lock.read_text())
    digest = index_digest(world.dataset.index)
    assert digest == index_digest(world.dataset.index, added=False) != lock["index"]
    lock["index"] = digest
    world.dataset.lock.write_text(json.dumps(lock | {"sha256": lock_digest(lock)}))
    assert verify(world.dataset) == []
    forget(world.dataset, find(world.dataset, "person_0"))
    assert {row["person"] for row in index(world, "samples")} == {"person_1"}
    assert verify(world.dataset) == []


def test_every_sample_has_the_same_members(tmp_path: Path) -> None:
    rows = IndexWriter(tmp_path / "index.duckdb", "0" * 16)
    writer = ShardWriter(tmp_path, 10**6, rows)
    writer.begin("train")

    def sample(key: str, *names: str) -> EncodedSample:
        return EncodedSample(
            b"".join(b"".join(member(f"{key}.{name}", b"x")) for name in names), {"key": key, "person": key}
        )

    writer.add(sample("a", "jpg", "json", "mask.png", "txt"))
    writer.add(sample("b", "jpg", "json", "mask.png", "txt"))
    with pytest.raises(BolidError, match=r"sample 'c' has the members jpg, json, txt, those before it .*mask\.png"):
        writer.add(sample("c", "jpg", "json", "txt"))
    rows.close()


def test_splits_are_stable_and_by_person() -> None:
    splits = {"train": 0.8, "val": 0.1, "test": 0.1}
    before = {f"p{i}": split_of(f"p{i}", splits, 0) for i in range(1000)}
    assert 740 < sum(split == "train" for split in before.values()) < 860
    assert before != {person: split_of(person, splits, 1) for person in before}
    lists = {"train": ["a"], "test": ["b"]}
    assert [split_of(person, lists, 0) for person in "abc"] == ["train", "test", "train"]


def test_webdataset_and_datasets_read_the_tars(tmp_path: Path) -> None:
    world = make(tmp_path)
    shard(manifest(tmp_path, "splits = { train = 1.0 }"), world.dataset)
    urls = [str(path) for path in tars(world)]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert {sample["json"]["person"] for sample in samples} == {f"person_{i}" for i in range(4)}
    assert samples[0]["jpg"].size == (1200, 1400)
    table = datasets.load_dataset("webdataset", data_files=urls, split="train", cache_dir=str(tmp_path / "cache"))
    assert len(table) == 12
    assert {"jpg", "json", "txt", "__key__"} <= set(table.column_names)
    assert table[0]["txt"].startswith("a photo")


def test_verify_lists_what_changed(tmp_path: Path) -> None:
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
    differences = problems()
    assert differences.pop(f"shards/{tar.name}") == "changed"
    assert differences.pop("shards/train-000099.tar") == "extra"
    assert differences.pop(f"photos/{photos[0].parent.name}/{photos[0].name}") == "changed"
    assert differences.pop(f"photos/{photos[1].parent.name}/{photos[1].stem}") == "missing"
    assert differences.pop("measurements.parquet") == "changed"
    assert list(differences.values()) == ["extra"]
    world.dataset.index.unlink()
    assert problems()["shards/index.duckdb"] == "missing"
    flip(world.dataset.lock, at=200)
    assert list(problems()) == ["dataset.lock.json"]


def test_the_lock_pins_thresholds_models_photos_and_shards(tmp_path: Path) -> None:
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


def test_the_lock_pins_the_commits_of_models_from_the_hub(tmp_path: Path) -> None:
    world, commit = make(tmp_path), "c0ffee" + "0" * 34
    world.dataset.catalog.captions.choose_captioner(replace(CAPTIONER, revision=commit), "")
    shard(manifest(tmp_path), world.dataset)
    lock = json.loads(world.dataset.lock.read_text())
    pinned = {model["id"]: model.get("revision", "none") for model in lock["models"]}
    assert pinned == dict.fromkeys(pinned, "none") | {CAPTIONER.id: commit}
    import_measurements(read_lock(world.dataset.lock), world.dataset.catalog)
    assert world.dataset.catalog.lock_content.read()["models"] == lock["models"], "also after a rebuild"
    for model in lock["models"]:
        model["revision"] = "main; rm -rf"
    seal({key: value for key, value in lock.items() if key != "sha256"}, world.dataset.lock)
    with pytest.raises(UsageError, match=r"models\.0\.revision"):
        read_lock(world.dataset.lock)


def test_the_lock_names_every_model_whose_captions_it_holds(tmp_path: Path) -> None:
    world, other = make(tmp_path), Model("chat@2", "chat", "", '{"instruction": "Describe the build."}', "MIT")
    catalog = world.dataset.catalog
    catalog.captions.add_captioner(other)
    catalog.captions.record_captions(
        other.id, "build", {catalog.samples.kept_photos(["person_0"])[0]["sha256"]: "tall"}
    )
    shard(manifest(tmp_path), world.dataset)
    assert vars(other) | {"revision": None} in [
        {"revision": None} | model for model in json.loads(world.dataset.lock.read_text())["models"]
    ]


def test_missing_photos_captions_or_locks_are_errors(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    with pytest.raises(BolidError, match="no photo is kept"):
        shard(manifest(tmp_path), world.dataset)
    with pytest.raises(UsageError, match="no such lock"):
        verify(world.dataset)
    world.photo(data=jpeg(1))
    judge(world.dataset.catalog, EVERYTHING, MODELS)
    with pytest.raises(BolidError, match="1 kept photo has no caption; run `bolid caption`"):
        shard(manifest(tmp_path), world.dataset)

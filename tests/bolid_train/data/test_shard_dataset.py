"""Photos come out of the shards by one ranged read, and damage is named."""

import shutil
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

from bolid_data.errors import BolidError, UsageError
from bolid_train.data.shard_dataset import ShardDataset


def test_a_ranged_read_gives_what_the_tar_holds(dataset: Path) -> None:
    shards = ShardDataset(dataset / "shards")
    samples = [sample for photos in shards.people("train").values() for sample in photos]
    assert len(samples) == 8
    with tarfile.open(dataset / "shards" / "train-000000.tar") as tar:
        for sample in samples:
            members = shards.members(sample)
            assert sorted(members) == ["jpg", "json", "txt"]
            for extension, content in members.items():
                file = tar.extractfile(f"{sample.key}.{extension}")
                assert file is not None and content == file.read()
            assert shards.photo(sample).size == (sample.width, sample.height)


def test_people_are_those_of_the_split(dataset: Path) -> None:
    shards = ShardDataset(dataset / "shards")
    assert {person: len(photos) for person, photos in shards.people("train").items()} == {
        "anna": 4,
        "boris": 3,
        "clara": 1,
    }
    assert list(shards.people("test")) == ["daria"]
    assert len(shards.people("test")["daria"][0].keypoints) == 17


def test_without_an_index_the_error_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `bolid shard` first"):
        ShardDataset(tmp_path)


def test_an_index_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.duckdb").write_text("not a database, whatever its name")
    with pytest.raises(BolidError, match="cannot be read"):
        ShardDataset(tmp_path).people("train")


@pytest.mark.parametrize("damage", ["missing", "cut", "overwritten"])
def test_a_damaged_shard_is_named_with_its_sample(dataset: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    shard = tmp_path / "shards" / "train-000000.tar"
    sample = ShardDataset(shard.parent).people("train")["clara"][0]
    if damage == "missing":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[: sample.offset + 700])
    else:
        content = bytearray(shard.read_bytes())
        content[sample.offset : sample.offset + sample.size] = b"x" * sample.size
        shard.write_bytes(content)
    with pytest.raises(BolidError, match=rf"train-000000\.tar.*{sample.key}.*bolid verify"):
        ShardDataset(shard.parent).photo(sample)


def test_a_store_that_fsspec_reaches_gives_the_same_photos(dataset: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(dataset / "shards"), "/somewhere/shards", recursive=True)
    here, there = ShardDataset(str(dataset / "shards")), ShardDataset("memory://somewhere/shards")
    assert there.people("train") == here.people("train")
    for sample in here.people("train")["anna"]:
        assert there.photo(sample).tobytes() == here.photo(sample).tobytes()
    store.rm("/somewhere/shards/train-000000.tar")
    with pytest.raises(BolidError, match=r"memory://somewhere/shards/train-000000\.tar.*bolid verify"):
        there.photo(sample)
    with pytest.raises(UsageError, match="run `bolid shard` first"):
        ShardDataset("memory://elsewhere")
    with pytest.raises(UsageError, match="nosuch"):
        ShardDataset("nosuch://bucket/shards")


def test_photos_in_s3_are_ranged_reads_of_their_size(bucket: tuple[str, list[dict[str, Any]]], dataset: Path) -> None:
    address, sent = bucket
    shards = ShardDataset(address)
    samples = [sample for photos in shards.people("train").values() for sample in photos]
    sent.clear()
    for sample in samples:
        assert shards.photo(sample).tobytes() == ShardDataset(dataset / "shards").photo(sample).tobytes()
    asked = [(request["path"].rpartition("/")[2], request["Range"]) for request in sent]
    assert asked == [(s.shard, f"bytes={s.offset}-{s.offset + s.size - 1}") for s in samples]
    tar = (dataset / "shards" / "train-000000.tar").stat().st_size
    assert all(sample.size < tar / 4 for sample in samples)

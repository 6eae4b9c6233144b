"""The small world as a dataset: `bolid train` reads it, its captions are both there, and its test sets stay shut."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.shards.lock import verify
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.training.trainer import train
from small_world.dataset import write_dataset
from small_world.drawn_dataset import BUILD
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import CORPUS, HELD_OUT, SPLITS
from tests.support.drawn_shards import write_manifest

FEW = {
    "train": replace(HELD_OUT, people=3, photos=4),
    "validation": replace(HELD_OUT, seed=201, people=2, photos=3),
    "test_a": replace(HELD_OUT, seed=202, people=1, photos=2),
}
"""Other people in the splits' places: the true test sets are not drawn here either."""


@pytest.fixture(scope="module", autouse=True)
def _few_people() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, split in FEW.items():
            patch.setitem(SPLITS, name, split)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset's folder; do not change what is sharded in it."""
    folder = tmp_path_factory.mktemp("world")
    write_dataset(folder, ["train", "validation"])
    return folder


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(FEW["train"])


def test_people_are_in_the_splits_that_training_knows(world: Path) -> None:
    shards = ShardDataset(world / "shards")
    people = {split: shards.people(split) for split in ("train", "val", "test")}
    assert {split: [len(own) for own in found.values()] for split, found in people.items()} == {
        "train": [4, 4, 4],
        "val": [3, 3],
        "test": [],
    }
    assert list(people["train"]) == ["train-p0000", "train-p0001", "train-p0002"]


def _told(photos: Photos, row: int) -> str:
    return photos.build_caption(row) if row % 2 else str(photos.caption(row))


def test_a_sample_is_the_drawn_photo_with_its_true_keypoints_and_every_second_caption_tells_the_build(
    world: Path, photos: Photos
) -> None:
    shards = ShardDataset(world / "shards")
    samples = shards.people("train")["train-p0001"]
    captions = {_told(photos, row): row for row in range(4, 8)}
    assert len(samples) == len(captions) == 4
    for sample in samples:
        row = captions[sample.caption]
        record = json.loads(shards.members(sample)["json"])
        assert set(record) == {"person", "sha256", "width", "height", "keypoints", "caption"}
        assert (sample.width, sample.height) == (64, 64)
        np.testing.assert_allclose(sample.keypoints, photos.keypoints[row], atol=1e-3)
        error = np.asarray(shards.photo(sample), float) - photos.images[row]
        assert 20 * np.log10(255 / np.sqrt((error**2).mean())) > 35, "a JPEG's loss in dB, and no other photo's"


def test_the_other_caption_stands_with_all_that_is_known_of_a_photo(world: Path, photos: Photos) -> None:
    query = f"""SELECT sha256, c.caption FROM (SELECT sha256, unnest(captions) AS c
                FROM '{world / "measurements.parquet"}') WHERE c.prompt = '{BUILD}'"""
    built = dict(duckdb.sql(query).fetchall())
    samples = [sample for own in ShardDataset(world / "shards").people("train").values() for sample in own]
    by_caption = {sample.caption: built[sample.sha256] for sample in samples}
    assert by_caption == {_told(photos, row): photos.build_caption(row) for row in range(len(photos))}
    assert len(built) == 18 and sum(plain != said for plain, said in by_caption.items()) >= 2
    others = [sample for own in ShardDataset(world / "shards").people("val").values() for sample in own]
    assert sum(sample.caption != built[sample.sha256] for sample in others) >= 2, "nobody else's build is told"


def test_the_store_has_the_pixels_as_drawn(world: Path, photos: Photos) -> None:
    stored = {np.asarray(Image.open(io.BytesIO(file.read_bytes()))).tobytes() for file in Dataset(world).store.files()}
    assert {image.tobytes() for image in photos.images} <= stored


def test_it_is_verified_like_any_dataset_and_written_again_the_same(world: Path) -> None:
    assert verify(Dataset(world)) == []
    before = {path.name: path.read_bytes() for path in [*world.glob("shards/*.tar"), world / "dataset.lock.json"]}
    write_dataset(world, ["train", "validation"])
    assert all((world / "shards" / name).read_bytes() == before[name] for name in before if name.endswith("tar"))
    assert (world / "dataset.lock.json").read_bytes() == before["dataset.lock.json"]


def test_bolid_train_trains_on_it(world: Path, tmp_path: Path) -> None:
    result = train(write_manifest(tmp_path), world, steps=2)
    assert (result["people"], result["photos"], result["steps"]) == (3, 12, 2)


def test_a_folder_of_other_people_is_left_alone(world: Path) -> None:
    with pytest.raises(UsageError, match="holds other people"):
        write_dataset(world, ["train"])


def test_a_test_set_is_drawn_only_when_it_is_to_be_opened_and_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"test_a: what is looked at in a test set.* --open-test-sets draws it"):
        write_dataset(tmp_path / "a", ["test_a"])
    with pytest.raises(UsageError, match="test_a: a test set goes into a folder of its own"):
        write_dataset(tmp_path / "a", ["train", "test_a"], open_test_sets=True)
    assert not (tmp_path / "a").exists()
    write_dataset(tmp_path / "a", ["test_a"], open_test_sets=True)
    assert list(ShardDataset(tmp_path / "a" / "shards").people("test")) == ["test_a-p0000"]


def test_anyone_can_draw_fresh_people_in_the_style_of_a_test_set_without_opening_it(tmp_path: Path) -> None:
    write_dataset(tmp_path, ["test_a"], seed=424242, people=2)
    shards = ShardDataset(tmp_path / "shards")
    assert list(shards.people("val")) == ["test_a-424242-p0000", "test_a-424242-p0001"]
    assert shards.people("test") == {} and verify(Dataset(tmp_path)) == []
    drawn = draw_split(replace(FEW["test_a"], seed=424242, people=2))
    stored = {
        np.asarray(Image.open(io.BytesIO(file.read_bytes()))).tobytes() for file in Dataset(tmp_path).store.files()
    }
    assert stored == {image.tobytes() for image in drawn.images}


def test_fresh_people_are_nobody_who_is_in_a_set(tmp_path: Path) -> None:
    for seed in (FEW["test_a"].seed, HELD_OUT.seed, CORPUS.seed):
        with pytest.raises(UsageError, match=f"--seed {seed} is a set's of the small world"):
            write_dataset(tmp_path / "a", ["test_a"], seed=seed)
    with pytest.raises(UsageError, match="name one with --splits"):
        write_dataset(tmp_path / "a", ["train", "validation"], seed=5)
    with pytest.raises(UsageError, match="drawn by a --seed of your own"):
        write_dataset(tmp_path / "a", ["validation"], people=5)
    with pytest.raises(UsageError, match="people are 1 or more"):
        write_dataset(tmp_path / "a", ["validation"], seed=5, people=0)
    assert not (tmp_path / "a").exists()

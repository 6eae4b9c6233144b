"""The small world in three dimensions as a dataset: its measures can be queried, and its test sets stay shut."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import pytest

from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.shards.forget import find, forget
from bolid_data.shards.lock import verify
from bolid_data.shards.repair import repair
from bolid_data.synthetic.people import draw_person
from bolid_train.data.shard_dataset import ShardDataset
from small_world.world3d.dataset import write_dataset
from small_world.world3d.photos import Photos, draw_split
from small_world.world3d.splits import CORPUS, HELD_OUT, SPLITS

FEW = {
    "train": replace(SPLITS["train"], seed=33_910, people=2, photos=4),
    "validation": replace(SPLITS["validation"], seed=33_911, people=1, photos=2),
    "test_c": replace(SPLITS["test_c"], seed=33_912, people=1, photos=2),
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
    folder = tmp_path_factory.mktemp("world3d")
    write_dataset(folder, ["train", "validation"])
    return folder


def test_the_index_has_the_true_measures_of_everybody(world: Path) -> None:
    with duckdb.connect(world / "shards" / "index.duckdb", read_only=True) as con:
        rows = con.execute("SELECT person, measures FROM samples WHERE measures['waist_girth'] > 0").fetchall()
        (leg,) = con.execute(
            "SELECT measures['thigh'] + measures['shin'] FROM samples WHERE person = 'train-p0001' LIMIT 1"
        ).fetchall()[0]
    assert len(rows) == 10
    for person, measures in rows:
        split, _, number = person.partition("-p")
        body = draw_person(FEW[split].seed, int(number), FEW[split].variety).measures
        assert {name: measures[name] for name in asdict(body)} == pytest.approx(asdict(body), abs=1e-6)
    body = draw_person(33_910, 1, FEW["train"].variety).measures
    assert leg == pytest.approx(body.thigh + body.shin, abs=2e-6)


def test_every_second_caption_of_training_tells_the_build(world: Path) -> None:
    people = {split: ShardDataset(world / "shards").people(split) for split in ("train", "val", "test")}
    assert {split: [len(own) for own in found.values()] for split, found in people.items()} == {
        "train": [4, 4], "val": [2], "test": [],
    }  # fmt: skip
    for split, few in (("train", FEW["train"]), ("val", FEW["validation"])):
        photos = draw_split(few)
        for sample in [sample for own in people[split].values() for sample in own]:
            (row,) = [row for row in range(len(photos)) if sample.caption in _captions(photos, row)]
            tells = split == "train" and row % 2 == 1
            assert sample.caption == _captions(photos, row)[int(tells)]
            assert sample.keypoints == pytest.approx(photos.keypoints[row], abs=1e-3)


def _captions(photos: Photos, row: int) -> tuple[str, str]:
    return photos.caption(row), photos.build_caption(row)


def test_it_is_verified_and_written_again_the_same(world: Path) -> None:
    assert verify(Dataset(world)) == []
    before = {path.name: path.read_bytes() for path in [*world.glob("shards/*.tar"), world / "dataset.lock.json"]}
    write_dataset(world, ["train", "validation"])
    after = {path.name: path.read_bytes() for path in [*world.glob("shards/*.tar"), world / "dataset.lock.json"]}
    assert after == before


def test_test_sets_are_drawn_only_when_they_are_to_be_opened_and_alone(tmp_path: Path) -> None:
    for name in ("test_a", "test_b", "test_c"):
        with pytest.raises(UsageError, match=f"{name}: what is looked at in a test set.* --open-test-sets draws it"):
            write_dataset(tmp_path / "a", [name])
    with pytest.raises(UsageError, match="test_b: a test set goes into a folder of its own"):
        write_dataset(tmp_path / "a", ["test_b", "test_a"], open_test_sets=True)
    for split in (CORPUS, HELD_OUT, SPLITS["test_a"]):
        with pytest.raises(UsageError, match=f"--seed {split.seed} is a set's of the small world"):
            write_dataset(tmp_path / "a", ["test_a"], seed=split.seed)
    assert not (tmp_path / "a").exists()
    write_dataset(tmp_path / "a", ["test_c"], open_test_sets=True)
    assert list(ShardDataset(tmp_path / "a" / "shards").people("test")) == ["test_c-p0000"]


def test_measures_stay_when_the_catalog_is_repaired_and_when_somebody_is_forgotten(world: Path, tmp_path: Path) -> None:
    before = _measures(world)
    dataset = Dataset(shutil.copytree(world, tmp_path / "copy"))
    dataset.catalog.path.unlink()
    repair(dataset)
    write_dataset(dataset.root, ["train", "validation"])
    assert _measures(dataset.root) == before
    trace = find(dataset, "train-p0000")
    assert trace
    forget(dataset, trace)
    assert verify(dataset) == []
    assert _measures(dataset.root) == [row for row in before if row[0] != "train-p0000"] != before


def _measures(folder: Path) -> list[tuple[str, str, dict[str, float]]]:
    with duckdb.connect(folder / "shards" / "index.duckdb", read_only=True) as con:
        return con.execute("SELECT person, sha256, measures FROM samples ORDER BY ALL").fetchall()

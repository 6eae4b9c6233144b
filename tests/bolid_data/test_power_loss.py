"""After a power loss at any moment, nothing that a catalog or lock vouches for is missing."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest
from bolid_data.shards.forget import find, forget
from bolid_data.shards.lock import verify
from bolid_data.shards.write import shard
from tests.bolid_data.shards.test_shards import finish
from tests.support import power_loss
from tests.support.measured_dataset import World, jpeg

FOLDER = """
name = "folder"
[source]
kind = "folder"
path = "photos"
"""
SCRAPE = """
from pathlib import Path
from bolid_data import manifest
from bolid_data.collect import ingest
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
ingest.BATCH = 2
scrape(manifest.load(Path(sys.argv[1]).with_name("m.toml")), Dataset(Path(sys.argv[1])))
"""
SHARD = """
from pathlib import Path
from bolid_data import manifest
from bolid_data.dataset import Dataset
from bolid_data.shards.write import shard
dataset = Dataset(Path(sys.argv[1]))
with dataset.working():
    shard(manifest.load(Path(sys.argv[1]).with_name("m.toml")), dataset)
"""
FORGET = """
from pathlib import Path
from bolid_data.dataset import Dataset
from bolid_data.shards import forget
dataset = Dataset(Path(sys.argv[1]))
with dataset.working():
    forget.forget(dataset, forget.find(dataset, "anna"))
"""
POINTS = 5
"""Of each command, spread evenly over its syncs, besides its end."""


def points(syncs: int) -> list[int]:
    return [0, *sorted({1 + (syncs - 1) * point // (POINTS - 1) for point in range(POINTS)})]


@pytest.fixture
def folder(tmp_path: Path) -> Manifest:
    for person in ("anna", "berta"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "photos" / person / f"{number}.jpg").write_bytes(jpeg(hash_of(person) + number))
    (tmp_path / "m.toml").write_text(FOLDER)
    return manifests.load(tmp_path / "m.toml")


def hash_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:6], 16)


def lost(dataset: Dataset) -> list[str]:
    """Photos that the catalog says are stored and that do not lie in the store."""
    if not dataset.catalog.path.exists():
        return []
    dataset.catalog.create()
    stored = [sha256 for sha256, _ in dataset.catalog.sightings.stored_photos("", 1000)]
    held = {file.stem for file in dataset.store.files() if hashlib.sha256(file.read_bytes()).hexdigest() == file.stem}
    return sorted(set(stored) - held)


def test_a_crawl(folder: Manifest, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    syncs = power_loss.run(SCRAPE, tmp_path / "whole")
    assert lost(Dataset(tmp_path / "whole")) == []
    assert len(list(Dataset(tmp_path / "whole").store.files())) == 8
    for point in points(syncs)[1:]:
        root = tmp_path / f"killed{point}"
        root.mkdir()
        power_loss.run(SCRAPE, root, point)
        assert lost(Dataset(root)) == [], point
        scrape(folder, Dataset(root))
        assert lost(Dataset(root)) == []
        assert len(list(Dataset(root).store.files())) == 8


@pytest.fixture
def world(tmp_path: Path) -> World:
    source = '[source]\nkind = "folder"\npath = "."\n'
    (tmp_path / "m.toml").write_text(f'name = "x"\n{source}[shards]\nmax_size = "300KB"\n')
    world = World(tmp_path / "data")
    for number, person in enumerate(["anna", "berta", "carla"]):
        for shot in range(3):
            world.photo(person, data=jpeg(10 * number + shot, 400, 500))
    finish(world)
    shard(manifests.load(tmp_path / "m.toml"), world.dataset)
    return world


@pytest.mark.slow
def test_shards_written_anew(world: World, tmp_path: Path) -> None:
    before = json.loads(world.dataset.lock.read_text())
    world.photo("anna", data=jpeg(999, 400, 500))
    finish(world)
    shutil.copytree(world.dataset.root, tmp_path / "whole")
    syncs = power_loss.run(SHARD, tmp_path / "whole")
    after = json.loads((tmp_path / "whole" / "dataset.lock.json").read_text())
    assert after["shards"] != before["shards"]
    outcomes = set()
    for point in points(syncs):
        dataset = Dataset(tmp_path / f"killed{point}")
        shutil.copytree(world.dataset.root, dataset.root)
        power_loss.run(SHARD, dataset.root, point)
        dataset.settle()
        lock = json.loads(dataset.lock.read_text())
        assert lock["shards"] in (before["shards"], after["shards"])
        outcomes.add(lock["sha256"])
        extra = [] if lock["shards"] == after["shards"] else [entry["file"] for entry in verify(dataset)]
        assert all(file.startswith("photos/") for file in extra), "only the photo that the old lock does not know"
        if lock["shards"] == after["shards"]:
            assert verify(dataset) == [], point
        with dataset.working():
            shard(manifests.load(tmp_path / "m.toml"), dataset)
        assert verify(dataset) == []
    assert len(outcomes) == 2, "the plug was pulled before and after the new lock counted"


@pytest.mark.slow
def test_forgetting(world: World, tmp_path: Path) -> None:
    theirs = set(world.dataset.catalog.erasure.photos_of("anna"))
    shutil.copytree(world.dataset.root, tmp_path / "whole")
    syncs = power_loss.run(FORGET, tmp_path / "whole")
    for point in points(syncs):
        dataset = Dataset(tmp_path / f"killed{point}")
        shutil.copytree(world.dataset.root, dataset.root)
        power_loss.run(FORGET, dataset.root, point)
        with dataset.working():
            if trace := find(dataset, "anna"):
                forget(dataset, trace)
        assert verify(dataset) == [], point
        assert not theirs & {file.stem for file in dataset.store.files()}, point
        assert dataset.removed().person("anna") == "forgotten"

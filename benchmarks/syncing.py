"""The cost of durability: commands, compared with the same commands without fsync."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from benchmarks.rows import Row, compare
from benchmarks.server import serve
from benchmarks.shards import synthetic_dataset
from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.manifest import Manifest
from bolid_data.shards.write import shard
from bolid_train.training.trainer import train

PHOTOS, BYTES, STEPS = 2_000, 320_000, 10
MANIFEST = 'name = "list"\n[source]\nkind = "urls"\npath = "urls.csv"\nallow_local = true\ndelay = 0.0\n'


def rows(curated: Manifest, dataset: Dataset, work: Path) -> list[Row]:
    """Training is timed on `dataset`, crawling and sharding on more and larger photos."""
    return [*_crawling(work), *_sharding(work), *_training(curated, dataset)]


def _compare(what: str, amount: float, unit: str, run: Callable[[], object]) -> list[Row]:
    def without() -> None:
        with mock.patch.object(os, "fsync", lambda descriptor: None):
            run()

    return compare(what, amount, unit, run, {"the same without fsync": without})


def _crawling(work: Path) -> list[Row]:
    (work / "m.toml").write_text(MANIFEST)
    loaded = manifest.load(work / "m.toml")
    runs = 0
    with serve(PHOTOS, BYTES) as address:
        lines = [f"p{number // 100},{address}/{number}.jpg\n" for number in range(PHOTOS)]
        (work / "urls.csv").write_text("person,url\n" + "".join(lines))

        def crawl() -> None:
            nonlocal runs
            runs += 1  # a new folder: creating files right after deleting others is slow
            scrape(loaded, Dataset(work / f"crawl{runs}"))

        return _compare(f"scrape: {PHOTOS} photos of {BYTES // 1000} KB", PHOTOS, "photos/s", crawl)


def _sharding(work: Path) -> list[Row]:
    dataset = synthetic_dataset(work / "shards")
    size = sum(file.stat().st_size for file in dataset.store.files()) / 1e6
    loaded = manifest.load(work / "m.toml")
    return _compare(f"shard: {size:.0f} MB", size, "MB/s", lambda: shard(loaded, dataset))


def _training(curated: Manifest, dataset: Dataset) -> list[Row]:
    def fit() -> None:
        shutil.rmtree(dataset.root / "features", ignore_errors=True)
        train(curated, dataset.root, steps=STEPS, overwrite=True, checkpoint_every=5)

    return _compare(f"train: features, {STEPS} steps, a checkpoint every 5", STEPS, "steps/s", fit)

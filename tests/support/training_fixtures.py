"""What tests of training share: a dataset of drawn people, and a run on it."""

import shutil
from pathlib import Path

import pytest
import torch

from bolid_data.manifest import Manifest
from bolid_train.training.trainer import train
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and threads that spin take the machine from its other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset's folder with three people in `train` (one with a single photo) and one in `test`; do not
    change it."""
    folder = tmp_path_factory.mktemp("dataset")
    people = drawn_people({"anna": 4, "boris": 3, "clara": 1}) | drawn_people({"daria": 2}, "test")
    write_shards(folder / "shards", people)
    return folder


@pytest.fixture(scope="session")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A dataset's folder with a run `bolid` of ten steps, and its manifest; do not change it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(dataset / "shards", folder / "shards")
    settings = write_manifest(folder)
    train(settings, folder, steps=10)
    return folder, settings

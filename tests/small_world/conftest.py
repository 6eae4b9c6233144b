from dataclasses import replace
from pathlib import Path

import pytest

from small_world.training import corpus_file
from small_world.world3d.photos import Photos, draw_split
from small_world.world3d.splits import CORPUS
from tests.support.training_fixtures import dataset, one_thread, seeded, trained  # noqa: F401

FEW = replace(CORPUS, seed=33_920, people=2, photos=4)
"""People of no set."""


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return draw_split(FEW, tmp_path_factory.mktemp("drawn"), processes=1)


@pytest.fixture(scope="session")
def packed(few: Photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "corpus.npz"
    corpus_file.write(few, path)
    return path

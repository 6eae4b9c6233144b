"""A small gallery for the tests in this folder."""

from pathlib import Path

import pytest

from bolid_data.gallery import draw_gallery

PEOPLE, PHOTOS, SEED = 2, 7, 3


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_gallery(PEOPLE, PHOTOS, SEED, tmp_path_factory.mktemp("gallery"))

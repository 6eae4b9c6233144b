"""A corpus in one file: what is read is what was packed, and other files are refused."""

from pathlib import Path

import numpy as np
import pytest

from bolid_data.errors import BolidError
from small_world.training import corpus_file
from small_world.world3d.photos import Photos


def test_photos_come_back_with_all_that_is_known_of_them(few: Photos, packed: Path) -> None:
    photos = corpus_file.read(packed)
    assert len(photos) == len(few) == 8
    for name in ("keypoints", "yaws", "labels", "people", "measures"):
        assert np.array_equal(getattr(photos, name), getattr(few, name))
        assert getattr(photos, name).dtype == getattr(few, name).dtype
    error = np.abs(photos.images.astype(int) - few.images).mean(axis=(1, 2, 3))
    assert photos.images.shape == few.images.shape and error.max() < 5


def test_the_corpus_takes_at_most_45_megabytes(packed: Path) -> None:
    assert packed.stat().st_size / 8 * 12_000 < 45e6


def test_a_better_quality_is_nearer_to_the_photos(few: Photos, packed: Path, tmp_path: Path) -> None:
    corpus_file.write(few, tmp_path / "better.npz", quality=98)
    better, usual = (corpus_file.read(path).images.astype(int) for path in (tmp_path / "better.npz", packed))
    assert np.abs(better - few.images).mean() < np.abs(usual - few.images).mean()


@pytest.mark.parametrize("damage", ["empty", "text", "half", "other arrays"])
def test_other_files_are_refused(damage: str, packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "corpus.npz"
    if damage == "other arrays":
        np.savez(path, images=np.zeros(3))
    else:
        content = packed.read_bytes()
        path.write_bytes({"empty": b"", "text": b"no photos", "half": content[: len(content) // 2]}[damage])
    with pytest.raises(BolidError, match=r"corpus\.npz: cannot be read as packed photos"):
        corpus_file.read(path)

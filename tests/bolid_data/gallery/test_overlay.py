"""Drawn watermarks are visible, of the requested strength, and reproducible."""

import numpy as np
import pytest
from PIL import Image

from bolid_data.gallery.overlay import KINDS, overlay


def _changed(image: Image.Image, marked: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(marked, np.int16) - np.asarray(image, np.int16)).max(2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grey", [20, 128, 235])
def test_a_faint_mark_is_visible_and_a_strong_one_more_so(kind: str, grey: int) -> None:
    image = Image.new("RGB", (1100, 1400), (grey, grey, grey))
    peaks = []
    for strength in ("faint", "strong"):
        changed = _changed(image, overlay(image, kind, strength, np.random.default_rng(4)))
        assert 0.0005 < (changed > 12).mean() < 0.4
        peaks.append(int(changed.max()))
    assert 20 <= peaks[0] < peaks[1]


def test_marks_differ_by_generator_and_repeat_with_it() -> None:
    image = Image.new("RGB", (700, 1000), (90, 120, 150))
    first, again, other = (overlay(image, KINDS[0], "strong", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_a_mark_stays_within_a_small_picture() -> None:
    for seed in range(30):
        kind = KINDS[seed % 3]
        marked = overlay(Image.new("L", (300, 420), 60), kind, "strong", np.random.default_rng(seed))
        assert (marked.size, marked.mode) == ((300, 420), "RGB")
        assert (np.asarray(marked) != 60).any()

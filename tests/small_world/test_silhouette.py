"""Silhouettes and their widths: of painted figures, whose widths are known, and of drawn people."""

import numpy as np
import pytest

from small_world.check.silhouette import check
from small_world.silhouette import silhouette, widths


def figure(waist: int = 18, arms: bool = True) -> np.ndarray:
    """A mask of 128×128: a head, a trunk with arms down, and legs; 100 pixels high."""
    mask = np.zeros((128, 128), bool)
    mask[14:30, 58:70] = True  # head
    mask[30:64, 64 - waist // 2 : 64 + waist // 2] = True  # trunk
    mask[64:114, 54:63] = mask[64:114, 66:75] = True  # legs
    if arms:
        mask[32:40, 44:84] = True
        mask[40:66, 44:49] = mask[40:66, 79:84] = True
    return mask


def painted(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """A blue figure before a grey background that grows darker to one side, with a shadow on the ground, and noise."""
    light = np.linspace(170, 120, 128)[None, :, None] * np.array([1.0, 0.98, 0.95]) * np.ones((128, 1, 1))
    light[110:118, 60:110] -= 15
    image = np.where(mask[..., None], np.array([40.0, 60, 170]), light)
    noise = np.random.default_rng(seed).normal(0, 2, (128, 128, 1))
    return (image + noise).clip(0, 255).astype(np.uint8)


def test_a_figure_is_separated_from_a_plain_background_and_from_its_shadow() -> None:
    mask = figure()
    found = silhouette(painted(mask))
    assert (found & mask).sum() / (found | mask).sum() > 0.98


def test_an_empty_picture_has_no_widths() -> None:
    assert np.isnan(widths(silhouette(np.full((128, 128, 3), 90, np.uint8)))).all()


@pytest.mark.parametrize("waist", [14, 18, 24])
def test_widths_are_shares_of_the_height(waist: int) -> None:
    assert widths(figure(waist))[:2] == pytest.approx([0.4, waist / 100])


def test_no_waist_is_told_where_the_arms_are_not_apart_from_it() -> None:
    assert np.isfinite(widths(figure())[1])
    assert np.isnan(widths(figure(arms=False))[1:]).all()
    assert np.isnan(widths(figure(waist=30))[1:]).all()


def test_nothing_is_told_of_a_figure_that_is_cut_off_or_has_lost_its_legs() -> None:
    low, cut = figure(), figure()
    low[64:] = False
    cut[114:] = cut[113]
    assert np.isnan(widths(low)).all() and np.isnan(widths(cut)).all()


def test_of_people_the_silhouette_is_found() -> None:
    found = check(people=4)
    assert found["IoU, mean"] > 0.8
    assert found["shoulders, true mask: told"] == 1
    assert sum("rank correlation" in name for name in found) == 6

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bolid_train.data.proportions import PROPORTIONS, leg_length, proportions, shoulder_width, similarity, spread
from small_world.check.body import auc
from small_world.world.bodies import TRAITS
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=4))


@pytest.fixture
def figure() -> Tensor:
    """Nose to shoulders 10, on to the hips 30; shoulders 20 and hips 10 wide; arms 15 + 12, legs 25 + 24."""
    right = [(-10, 10), (-10, 25), (-10, 37), (-5, 40), (-5, 65), (-5, 89)]
    body = [point for x, y in right for point in ((-x, y), (x, y))]
    points = [(0, 0), (2, -3), (-2, -3), (4, -2), (-4, -2), *body]
    return torch.tensor([[(x + 50.0, y + 5.0, 1.0) for x, y in points]])


def test_each_proportion_is_a_length_in_units_of_the_trunk_with_the_neck(figure: Tensor) -> None:
    lengths = proportions(figure)[0].exp() * 40
    expected = {
        "face": 3,
        "shoulders": 20,
        "hips": 10,
        "upper arm": 15,
        "forearm": 12,
        "thigh": 25,
        "shin": 24,
    }
    assert dict(zip(PROPORTIONS, lengths.tolist(), strict=True)) == pytest.approx(expected)
    assert shoulder_width(figure).item() == pytest.approx(0.5)
    assert leg_length(figure).item() == pytest.approx(49 / 40)


def test_a_body_has_the_same_proportions_near_and_far(figure: Tensor) -> None:
    near = figure * torch.tensor([3.0, 3.0, 1.0])
    assert torch.allclose(proportions(near), proportions(figure), atol=1e-6)
    assert similarity(proportions(near), proportions(figure)).item() == pytest.approx(0, abs=1e-5)


def test_an_arm_that_points_at_the_camera_does_not_shorten_the_arms(figure: Tensor) -> None:
    figure[0, 9, :2] = figure[0, 7, :2] + 1
    assert proportions(figure)[0, PROPORTIONS.index("forearm")].item() == pytest.approx(math.log(12 / 40))


def test_what_is_not_seen_is_not_measured_and_not_compared(figure: Tensor) -> None:
    cut = figure.clone()
    cut[0, 15:, 2] = 0.2
    measured = proportions(cut)[0]
    assert measured.isnan().tolist() == [name == "shin" for name in PROPORTIONS]
    assert leg_length(cut).isnan().all()
    assert similarity(measured, proportions(figure)[0]).item() == pytest.approx(0, abs=1e-5)


def test_nothing_in_common_is_neither_alike_nor_unlike(figure: Tensor) -> None:
    figure[..., 2] = 0
    assert similarity(proportions(figure), proportions(figure)).isnan().all()


def test_true_keypoints_tell_bodies_apart_across_poses_and_crops(photos: Photos) -> None:
    measured = proportions(torch.from_numpy(photos.keypoints))
    alike = similarity(measured[:, None], measured[None])
    assert auc(alike, torch.from_numpy(photos.people), ~alike.isnan()) > 0.95


def test_named_proportions_grow_with_the_traits_that_they_are_named_for() -> None:
    photos = draw_split(replace(HELD_OUT, people=10))
    keypoints = torch.from_numpy(photos.keypoints)
    for measure, trait, least in ((shoulder_width, "shoulders", 0.6), (leg_length, "legs", 0.9)):
        values = measure(keypoints)
        seen = ~values.isnan().numpy()
        assert np.corrcoef(values[seen], photos.traits[seen, TRAITS.index(trait)])[0, 1] > least


def test_spread_is_among_photos_of_one_person_and_leaves_out_what_was_not_seen() -> None:
    column = torch.tensor([1.0, 3.0, torch.nan, 11.0, 13.0, torch.nan])
    people = torch.tensor([5, 5, 5, 9, 9, 7])
    assert spread(column[:, None], people).item() == pytest.approx(math.sqrt(2))

"""A person's proportions, from photos in which trunks lean and turn and detectors err."""

import math

import numpy as np
import pytest
import torch

from bolid_train.data.person_proportions import ProportionStatistics
from bolid_train.data.proportions import PROPORTIONS, SPREAD
from bolid_train.data.shard_dataset import Sample

_THIGH, _SHOULDERS = PROPORTIONS.index("thigh"), PROPORTIONS.index("shoulders")


def _keypoints(
    *, lean: float = 0.0, turn: float = 0.0, thigh: float = 25.0, missing: tuple[int, ...] = ()
) -> np.ndarray:
    """A standing figure; its trunk leans towards the camera by `lean` radians, and it is turned by `turn`."""
    trunk, width = 30 * math.cos(lean), math.cos(turn)
    right = [(-10, 0), (-10, 15), (-10, 27), (-5, trunk), (-5, trunk + thigh), (-5, trunk + thigh + 24)]
    body = [point for x, y in right for point in ((-x, y), (x, y))]
    points = [(0, -10), (2, -13), (-2, -13), (4, -12), (-4, -12), *body]
    placed = np.array([(x * width + 100, y + 50, 1.0) for x, y in points])
    placed[list(missing), 2] = 0
    return placed


def _photo(keypoints: np.ndarray) -> Sample:
    points = tuple(tuple(float(value) for value in point) for point in keypoints)
    return Sample("", "", "", "", 0, 0, 200, 300, "", points)


def _statistics(**people: list[np.ndarray]) -> ProportionStatistics:
    return ProportionStatistics({name: [_photo(one) for one in photos] for name, photos in people.items()})


def test_bent_and_turned_trunks_change_a_persons_proportions_little() -> None:
    straight = [_keypoints() for _ in range(5)]
    bent, turned = [_keypoints(lean=1.2) for _ in range(3)], [_keypoints(turn=1.2) for _ in range(3)]
    expected = _statistics(anna=straight).of(["anna"]).person[0]
    assert expected[_THIGH].item() == pytest.approx(math.log(25 / 40), abs=1e-5)
    others = {f"other{number}": [_keypoints()] * 4 for number in range(3)}
    measured = _statistics(anna=[*straight[:2], *bent, *turned], **others).of(["anna"]).person[0]
    torch.testing.assert_close(measured[[_THIGH, _SHOULDERS]], expected[[_THIGH, _SHOULDERS]], atol=0.02, rtol=0)
    leaning = _statistics(anna=bent).of(["anna"]).person[0]
    assert leaning[_THIGH] > expected[_THIGH] + 0.5, "in units of a short trunk, limbs are long"


def test_one_bad_detection_does_not_move_a_person() -> None:
    good = [_keypoints(thigh=25 + offset) for offset in (-1, -0.5, 0, 0.5, 1)]
    before = _statistics(anna=good).of(["anna"]).person[0, _THIGH]
    after = _statistics(anna=[*good, _keypoints(thigh=250)]).of(["anna"]).person[0, _THIGH]
    assert abs(after - before) < 0.02
    assert abs(np.mean([math.log(25)] * 5 + [math.log(250)]) - math.log(25)) > 0.3, "the mean would be moved"


def test_the_median_of_two_photos_is_their_mean() -> None:
    two = _statistics(anna=[_keypoints(thigh=20), _keypoints(thigh=30)]).of(["anna"]).person[0, _THIGH]
    assert two.item() == pytest.approx((math.log(20 / 40) + math.log(30 / 40)) / 2, abs=1e-5)


def test_what_no_photo_shows_is_unknown_and_typical_where_nobody_shows_it() -> None:
    statistics = _statistics(anna=[_keypoints(missing=(15, 16))] * 2, boris=[_keypoints()] * 2)
    anna = statistics.of(["anna"])
    shin = PROPORTIONS.index("shin")
    assert anna.person[0, shin].isnan() and not anna.person[0, :shin].isnan().any()
    assert anna.typical[0, shin].item() == pytest.approx(math.log(24 / 40), abs=1e-5), "Boris's"
    nobody = _statistics(anna=[_keypoints(missing=(15, 16))])
    assert nobody.of(["anna"]).typical.isfinite().all()


def test_the_spread_is_that_of_the_photos_in_spite_of_outliers() -> None:
    random = np.random.default_rng(0)
    deviation = 0.12  # of log thighs; SPREAD has 0.048
    people = {
        f"p{number}": [
            _keypoints(thigh=25 * math.exp(random.normal(0, deviation)) * (10 if random.random() < 0.05 else 1))
            for _ in range(6)
        ]
        for number in range(200)
    }
    statistics = _statistics(**people)
    assert statistics.spread[_THIGH].item() == pytest.approx(deviation, rel=0.12)
    torch.testing.assert_close(statistics.of(["p1", "p2"]).spread, statistics.spread.expand(2, 7))


def test_a_few_photos_say_little_of_the_spread() -> None:
    few = _statistics(anna=[_keypoints(thigh=20), _keypoints(thigh=30)]).spread[_THIGH].item()
    assert SPREAD[_THIGH] < few < 1.3 * SPREAD[_THIGH]

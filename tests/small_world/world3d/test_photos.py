"""The small world in three dimensions: what is drawn is what the captions and the splits say."""

from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.caption import FRAMING
from bolid_data.synthetic.people import draw_person
from small_world.world3d.build import describe_build
from small_world.world3d.photos import SIDE, Photos, draw_split
from small_world.world3d.splits import HELD_OUT, SECOND_RENDERER, VALIDATION

SEED = 33_900  # of nobody in a set
FEW = replace(VALIDATION, seed=SEED, people=9, photos=4)
BUILD_WORDS = ("slim", "stout", "shouldered", "hipped", "legged", "armed", "tall", "build")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world3d")


@pytest.fixture(scope="module")
def few(cache: Path) -> Photos:
    return draw_split(FEW, cache, processes=1)


def test_the_same_split_has_the_same_pixels_however_many_processes_draw(few: Photos, tmp_path: Path) -> None:
    again = draw_split(FEW, tmp_path, processes=2)
    assert all(np.array_equal(value, getattr(again, name)) for name, value in vars(few).items())
    assert few.images.shape == (36, SIDE, SIDE, 3) and few.images.std() > 30


def test_drawing_goes_on_where_it_was_killed(few: Photos, cache: Path) -> None:
    first, second = sorted(cache.rglob("*.npz"))
    written = first.stat().st_mtime_ns
    second.unlink()
    again = draw_split(FEW, cache, processes=1)
    assert np.array_equal(again.images, few.images) and first.stat().st_mtime_ns == written and second.is_file()


def test_people_keep_body_and_hair_and_are_seen_from_all_sides(few: Photos) -> None:
    for number in range(FEW.people):
        mine = few.people == number
        body = asdict(draw_person(SEED, number, FEW.variety).measures)
        assert all(few.body(row) == body for row in np.flatnonzero(mine))
        assert len({few.description(row).hair for row in np.flatnonzero(mine)} - {""}) <= 1
        assert np.diff(np.sort(few.yaws[mine])).min() > 1
        assert len(np.unique(np.floor((few.yaws[mine] + 180) / 180))) == 2
    assert len(np.unique(few.measures, axis=0)) == FEW.people


def test_where_only_the_body_is_to_be_learned_looks_change_from_photo_to_photo(cache: Path) -> None:
    photos = draw_split(replace(HELD_OUT, seed=SEED, people=1, photos=6), cache)
    assert len(np.unique(photos.measures, axis=0)) == 1
    hair, tops = ({getattr(photos.description(row), name) for row in range(6)} for name in ("hair", "top"))
    assert len(hair - {""}) > 1 and len(tops) > 2


def test_captions_name_the_build_only_where_they_are_to(few: Photos) -> None:
    told = 0
    for row in range(len(few)):
        plain, built = few.caption(row), few.build_caption(row)
        assert not [word for word in BUILD_WORDS if word in plain]
        assert plain.startswith(f"a {FRAMING[FRAMINGS[few.framings[row]]]} photo of a person")
        assert built.split("person", 1)[1] == plain.split("person", 1)[1]
        legs = (few.body(row)["thigh"] + few.body(row)["shin"]) / few.body(row)["stature"]
        assert ("long-legged" in built) == (legs > 0.491) and ("short-legged" in built) == (legs < 0.472)
        told += built != plain
    assert told > len(few) / 2


def test_words_of_the_build_follow_the_measures() -> None:
    body = draw_person(SEED, 0).measures
    wide = replace(body, waist_girth=0.6 * body.stature, shoulder_width=0.18 * body.stature)
    assert describe_build(wide).startswith("stout, narrow-shouldered")
    tall = {name: 1.1 * value if name not in ("bmi", "mass") else value for name, value in asdict(body).items()}
    assert describe_build(replace(body, **tall)) == describe_build(body), "stature is not seen on a photo"


def test_keypoints_lie_on_the_person_and_joints_project_to_them(few: Photos) -> None:
    points, seen = few.keypoints[..., :2], few.keypoints[..., 2] > 0
    assert np.all((points[seen] >= 0) & (points[seen] < SIDE)) and seen.mean() > 0.4
    photo = np.nonzero(seen)[0]
    x, y = points[seen].astype(int).T
    wide = [cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) for mask in few.masks]
    near = np.array(wide)[photo, y, x]
    assert near.mean() > 0.99
    for row in range(len(few)):  # a pinhole: pixels are straight lines of x / z
        straight = few.joints[row, :, :2] / few.joints[row, :, 2:]
        for axis in (0, 1):
            slope, start = np.polyfit(straight[:, axis], points[row, :, axis], 1)
            assert np.abs(slope * straight[:, axis] + start - points[row, :, axis]).max() < 0.1


def test_a_split_of_the_second_renderer_has_the_same_truth_and_is_in_no_place(cache: Path) -> None:
    split = replace(SECOND_RENDERER, seed=SEED, people=1, photos=3)
    photos, taken = draw_split(split, cache), draw_split(replace(split, renderer="photo"), cache)
    assert np.array_equal(photos.measures, taken.measures) and np.abs(photos.yaws - taken.yaws).max() < 30
    assert {photos.description(row).place for row in range(3)} == {"in a studio"}
    for image, mask in zip(photos.images, photos.masks, strict=True):
        around = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
        assert len(np.unique(image[around], axis=0)) < 0.02 * around.sum(), "flat colours around the person"
        assert image[mask].min() < 40 and 0.03 < mask.mean() < 0.8

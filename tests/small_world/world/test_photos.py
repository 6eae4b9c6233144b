"""The small world: what is drawn is what the captions and the splits say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from small_world.world.bodies import TRAITS, draw_traits
from small_world.world.captions import ATTRIBUTES, to_labels
from small_world.world.photos import SIDE, Photos, draw_split
from small_world.world.splits import CORPUS, HELD_OUT, SECOND_STYLE, SPLITS, TEST_B, TRAIN, VALIDATION
from small_world.worlds import FLAT, UNSAID

BUILD_WORDS = ("tall", "slim", "stout", "shouldered", "legged", "armed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def few(cache: Path) -> Photos:
    return draw_split(replace(VALIDATION, people=6), cache)


def test_the_same_split_has_the_same_pixels_and_more_people_change_nobody(few: Photos, tmp_path: Path) -> None:
    fewer = draw_split(replace(VALIDATION, people=2), tmp_path)
    assert np.array_equal(fewer.images, few.images[: len(fewer)])
    assert fewer.images.shape == (2 * VALIDATION.photos, SIDE, SIDE, 3)


def test_a_split_is_drawn_once(few: Photos, cache: Path) -> None:
    (file,) = cache.glob("*.npz")
    written = file.stat().st_mtime_ns
    assert np.array_equal(draw_split(replace(VALIDATION, people=6), cache).images, few.images)
    assert file.stat().st_mtime_ns == written


def test_people_keep_their_body_and_looks_over_their_photos(few: Photos) -> None:
    looks = [ATTRIBUTES.index(name) for name in ("skin", "hair", "haircut")]
    for person in range(6):
        mine = few.people == person
        assert len(np.unique(few.traits[mine], axis=0)) == 1
        assert len(np.unique(few.labels[mine][:, looks], axis=0)) == 1
    assert len(np.unique(few.traits, axis=0)) == 6


def test_where_only_the_body_is_to_be_learned_looks_change_from_photo_to_photo(cache: Path) -> None:
    photos = draw_split(replace(HELD_OUT, people=4), cache)
    for person in range(4):
        mine = photos.people == person
        assert len(np.unique(photos.traits[mine], axis=0)) == 1
        assert len(np.unique(photos.labels[mine][:, ATTRIBUTES.index("skin")])) > 1


def test_the_base_s_captions_never_speak_of_the_build_and_the_others_do(few: Photos) -> None:
    plain = [str(few.caption(row)) for row in range(len(few))]
    assert not [caption for caption in plain if any(word in caption for word in BUILD_WORDS)]
    for row, caption in enumerate(plain):
        told = few.build_caption(row)
        words = {name: few.traits[row][TRAITS.index(name)] for name in ("legs", "shoulders")}
        assert ("long-legged" in told) == (words["legs"] > 1 / 3)
        assert ("narrow-shouldered" in told) == (words["shoulders"] < -1 / 3)
        assert told.split(" person", 1)[1] == caption.split(" person", 1)[1]


def test_a_caption_said_in_part_says_nothing_else(few: Photos) -> None:
    rng = np.random.default_rng(0)
    for row, labels in enumerate(few.labels.tolist()):
        assert to_labels(few.caption(row)) == labels
        assert FLAT.sentence(labels) == str(few.caption(row))
        part = FLAT.drop_attributes(labels, rng, chance=0.5)
        assert all(said in (UNSAID, label) for said, label in zip(part, labels, strict=True))
        sentence = FLAT.sentence(part)
        assert sentence.startswith("a ") and "  " not in sentence and ", ," not in sentence


def test_keypoints_lie_on_the_person(few: Photos) -> None:
    points, seen = few.keypoints[..., :2], few.keypoints[..., 2] > 0
    assert np.all((points[seen] >= 0) & (points[seen] < SIDE))
    assert np.all(seen[:, 5:7])  # the shoulders are on every photo


def test_unseen_styles_share_no_colour_and_no_place_with_training() -> None:
    assert not set(TEST_B.style.colours) & set(TRAIN.style.colours)
    assert not set(TEST_B.style.scenes) & set(TRAIN.style.scenes)


def test_no_two_sets_share_people() -> None:
    seeds = [split.seed for split in (CORPUS, HELD_OUT, SECOND_STYLE, *SPLITS.values())]
    assert len(set(seeds)) == len(seeds)
    assert not np.array_equal(*(draw_traits(np.random.default_rng((seed, 0, 0))) for seed in seeds[:2]))


def test_the_second_style_has_other_strokes_on_the_same_people(cache: Path) -> None:
    sketched = replace(SECOND_STYLE, people=1)
    first, second = draw_split(sketched, cache), draw_split(replace(sketched, canvas=HELD_OUT.canvas), cache)
    assert np.allclose(first.keypoints, second.keypoints, atol=1e-3)
    assert np.abs(first.images.astype(float) - second.images).mean() > 3

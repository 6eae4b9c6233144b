"""What YOLO11n-pose records: on real photos, and independently of the batch."""

import numpy as np
import pytest
from PIL import Image

from bolid_data.curate.measurers.measurer import MIN_SCORE, Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.images import read_upright
from tests.support.paths import REAL_PHOTOS

needs_photos = pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="no real photos at ../shared/photos")


@pytest.fixture(scope="module")
def measurer() -> PoseMeasurer:
    return PoseMeasurer()


def load(pattern: str) -> list[Photo]:
    return [Photo(str(path), read_upright(path)) for path in sorted(REAL_PHOTOS.glob(pattern))]


def prominent(rows: list[dict], photo: Photo, share: float = 0.2) -> list[dict]:
    """The people that count, without those at the edge of someone else's portrait."""

    def area(row: dict) -> float:
        left, top, right, bottom = row["box"]
        return (right - left) * (bottom - top)

    confident = [row for row in rows if row["sha256"] == photo.sha256 and row["score"] >= 0.5]
    return [row for row in confident if area(row) >= share * max(map(area, confident))]


@needs_photos
def test_one_person_on_portraits_and_more_on_groups(measurer: PoseMeasurer) -> None:
    portraits, groups = load("person-*/*.jpg"), load("groups/*.jpg")
    rows = measurer.measure(portraits + groups)["detections"]
    assert [len(prominent(rows, photo)) for photo in portraits] == [1] * 4
    assert all(len(prominent(rows, photo)) > 1 for photo in groups)


@needs_photos
def test_keypoints_lie_in_pixels_of_the_upright_photo(measurer: PoseMeasurer) -> None:
    photo = load("person-b/*.jpg")[0]
    best = max(measurer.measure([photo])["detections"], key=lambda row: row["score"])
    left, top, right, bottom = best["box"]
    nose, left_shoulder, right_shoulder = (best["keypoints"][index] for index in (0, 5, 6))
    assert 0 <= left < right <= photo.image.width and 0 <= top < bottom <= photo.image.height
    assert nose[2] > 0.9 and nose[1] < left_shoulder[1] < bottom
    assert right_shoulder[0] < nose[0] < left_shoulder[0]
    assert bottom > 0.9 * photo.image.height  # he fills the photo to its lower edge


@needs_photos
def test_rows_do_not_depend_on_the_batch(measurer: PoseMeasurer) -> None:
    photos = load("*/*.jpg")
    assert len({photo.image.size for photo in photos}) > 1
    together = measurer.measure(photos)["detections"]
    assert together == [row for photo in photos for row in measurer.measure([photo])["detections"]]
    backwards = measurer.measure(photos[::-1])["detections"]
    for photo in photos:
        assert [r for r in together if r["sha256"] == photo.sha256] == [
            r for r in backwards if r["sha256"] == photo.sha256
        ]


@needs_photos
def test_everything_above_the_minimum_score_is_recorded_and_rounded(measurer: PoseMeasurer) -> None:
    rows = measurer.measure(load("groups/*.jpg"))["detections"]
    assert {row["kind"] for row in rows} == {"person"}
    assert all(row["score"] >= MIN_SCORE for row in rows) and any(row["score"] < 0.25 for row in rows)
    assert all(round(value, 1) == value for row in rows for value in row["box"])
    assert all(np.shape(row["keypoints"]) == (17, 3) for row in rows)


def test_an_empty_photo_gives_no_rows(measurer: PoseMeasurer) -> None:
    assert measurer.measure([Photo("grey", Image.new("RGB", (1000, 1400), "grey"))]) == {"detections": []}
    assert measurer.measure([]) == {"detections": []}

"""What MTCNN records: on real photos, on extreme shapes, and independently of the batch."""

import numpy as np
import pytest
from PIL import Image

from bolid_data.curate.measurers.faces import FaceMeasurer
from bolid_data.curate.measurers.measurer import MIN_SCORE, Photo
from bolid_data.images import read_upright
from tests.support.paths import REAL_PHOTOS

needs_photos = pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="no real photos at ../shared/photos")


@pytest.fixture(scope="module")
def measurer() -> FaceMeasurer:
    return FaceMeasurer()


def load(pattern: str) -> list[Photo]:
    return [Photo(str(path), read_upright(path)) for path in sorted(REAL_PHOTOS.glob(pattern))]


def confident(rows: list[dict], photo: Photo) -> list[dict]:
    return [row for row in rows if row["sha256"] == photo.sha256 and row["score"] >= 0.5]


@needs_photos
def test_one_face_on_portraits_and_more_on_groups(measurer: FaceMeasurer) -> None:
    portraits, groups = load("person-*/*.jpg"), load("groups/*.jpg")
    rows = measurer.measure(portraits + groups)["detections"]
    assert [len(confident(rows, photo)) for photo in portraits] == [1] * 4
    assert all(len(confident(rows, photo)) > 1 for photo in groups)


@needs_photos
def test_the_box_is_the_face_in_pixels_of_the_upright_photo(measurer: FaceMeasurer) -> None:
    photo = load("person-b/*.jpg")[0]
    (face,) = confident(measurer.measure([photo])["detections"], photo)
    left, top, right, bottom = face["box"]
    assert face["keypoints"] is None and face["kind"] == "face"
    # By eye, the head spans about x 370–740, y 90–650 of 970×2204.
    assert 370 <= left < right <= 760 and 90 <= top < bottom <= 660


@needs_photos
def test_rows_do_not_depend_on_the_batch(measurer: FaceMeasurer) -> None:
    photos = load("*/*.jpg")
    together = measurer.measure(photos)["detections"]
    assert together == [row for photo in photos for row in measurer.measure([photo])["detections"]]
    assert any(MIN_SCORE <= row["score"] < 0.5 for row in together)  # uncertain detections are recorded too


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (5000, 40), (700, 700)])
def test_shapes_without_a_face_give_no_rows(measurer: FaceMeasurer, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert measurer.measure([Photo("noise", Image.fromarray(noise))]) == {"detections": []}

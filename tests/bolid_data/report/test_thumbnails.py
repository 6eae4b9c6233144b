"""Pictures of a page: small, whatever the photo is, and bounded together."""

import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from bolid_data.images import read_upright
from bolid_data.report.page.thumbnails import MAX_BYTES, PORTRAIT, SIDE, Thumbnails
from bolid_data.store import LostPhotoError
from tests.support.measured_dataset import jpeg


def noise(seed: int, side: int = 320) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


Made = tuple[Thumbnails, list[Image.Image | None]]


def made(photos: list[bytes], max_bytes: int = MAX_BYTES, side: int = SIDE) -> Made:
    by_sha256 = {hashlib.sha256(data).hexdigest(): data for data in photos}
    thumbnails = Thumbnails(by_sha256.__getitem__, "white", max_bytes)
    thumbnails.make(by_sha256, side)
    return thumbnails, [opened(thumbnails.get(sha256, side)) for sha256 in by_sha256]


def opened(uri: str | None) -> Image.Image | None:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) if uri else None


def test_a_picture_keeps_the_shape_of_its_photo() -> None:
    _, (picture,) = made([jpeg(1, 1200, 1600)])
    assert picture and picture.format == "WEBP" and picture.size == (120, 160)
    full = read_upright(jpeg(1, 1200, 1600)).resize((120, 160))
    difference = np.abs(np.asarray(picture.convert("RGB"), float) - np.asarray(full, float)).mean()
    assert difference < 4, "decoded at a fraction of its size, it looks the same"


def test_a_small_photo_is_not_enlarged() -> None:
    _, (picture,) = made([jpeg(1, 40, 30)])
    assert picture and picture.size == (40, 30)


def test_a_portrait_is_a_square() -> None:
    _, (picture,) = made([jpeg(1, 300, 900)], side=PORTRAIT)
    assert picture and picture.size == (PORTRAIT, PORTRAIT)


def test_noise_becomes_coarser_until_it_is_small() -> None:
    thumbnails, (picture,) = made([noise(1)])
    (uri,) = (uri for uri in thumbnails._pictures.values() if uri)
    assert picture and len(uri) < 10_000


def test_together_they_stay_below_the_limit() -> None:
    thumbnails, pictures = made([noise(seed) for seed in range(12)], max_bytes=30_000)
    shown = [picture for picture in pictures if picture]
    assert 4 < len(shown) < 12 and thumbnails.left_out == 12 - len(shown)
    assert sum(len(uri or "") for uri in thumbnails._pictures.values()) <= 30_000


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff\xe0 cut", jpeg(1)[:2000]])
def test_what_is_no_photo_has_no_picture(data: bytes) -> None:
    assert made([data])[1] == [None]


def test_a_photo_that_is_lost_has_no_picture() -> None:
    def read(sha256: str) -> bytes:
        raise LostPhotoError(sha256, "its file is missing")

    thumbnails = Thumbnails(read, "white")
    thumbnails.make(["a" * 64])
    assert thumbnails.get("a" * 64) is None

"""Perceptual hashes: close for copies of a photo, distant for different photos."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from bolid_data.catalog import Catalog
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.perceptual_hash import CROPS, HashMeasurer
from bolid_data.records import Measurements
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import take_photo

MAX_HAMMING = 4
"""The manifest's default."""


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    people = [draw_person(42, i) for i in range(3)]
    return [Image.fromarray(take_photo([people[i % 3]], (42, i), (450, 600)).image) for i in range(24)]


def hashed(images: list[Image.Image]) -> list[tuple[int, list[int]]]:
    rows = HashMeasurer().measure([Photo(str(i), image) for i, image in enumerate(images)])["hashes"]
    return [(row["phash"], row["views"]) for row in rows]


def bits(a: tuple[int, list[int]], b: tuple[int, list[int]]) -> int:
    """The distance between two photos, as in bolid_data/curate/near_duplicates.py."""
    pairs = [(a[0], other) for other in (b[0], *b[1])] + [(b[0], other) for other in a[1]]
    return min((a ^ b).bit_count() for a, b in pairs)


def recompressed(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.resize((338, 450)).filter(ImageFilter.GaussianBlur(1)).save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def cut(left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
        )

    return crop


@pytest.mark.parametrize(
    ("copy", "share"),
    [
        (recompressed, 1),
        (ImageOps.mirror, 1),
        (lambda image: recompressed(ImageOps.mirror(image)), 1),
        (cut(left=0.03), 0.9),
        (cut(top=0.07), 0.9),
        (cut(right=0.1), 0.9),
        (cut(bottom=0.05), 0.9),
        (cut(0.06, 0, 0.06, 0), 0.9),
        (cut(0.04, 0.04, 0.04, 0.04), 0.9),
        (cut(0.09, 0.09, 0.09, 0.09), 0.9),
        (lambda image: ImageOps.expand(image, 12, "white"), 0.9),
        (lambda image: ImageEnhance.Contrast(image).enhance(1.2), 0.9),
    ],
    ids=["recompressed", "mirrored", "mirrored and recompressed", "left", "top", "right", "bottom", "both sides",
         "all round", "all round, more", "a border", "contrast"],
)  # fmt: skip
def test_a_copy_is_near(originals: list[Image.Image], copy: Callable[[Image.Image], Image.Image], share: float) -> None:
    pairs = zip(hashed(originals), hashed([copy(image) for image in originals]), strict=True)
    assert np.mean([bits(a, b) <= MAX_HAMMING for a, b in pairs]) >= share


def test_different_photos_of_one_person_are_far(originals: list[Image.Image]) -> None:
    rows = hashed(originals)
    assert min(bits(a, b) for i, a in enumerate(rows) for b in rows[:i]) > MAX_HAMMING


def test_the_hash_is_the_64_bits_of_the_library(originals: list[Image.Image]) -> None:
    ((phash, _),) = hashed([originals[0].resize((1100, 1500))])
    assert 0 <= phash < 2**64
    assert imagehash.hex_to_hash(f"{phash:016x}") == imagehash.phash(originals[0].resize((1100, 1500)))


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (40, 5000)])
def test_any_shape_is_hashed(size: tuple[int, int]) -> None:
    ((_, views),) = hashed([Image.new("RGB", size, "grey")])
    assert len(views) == 1 + len(CROPS)


def test_hashes_and_views_come_back_from_the_catalog_bit_for_bit(originals: list[Image.Image], tmp_path: Path) -> None:
    catalog, measurer = Catalog(tmp_path / "catalog.duckdb"), HashMeasurer()
    catalog.create()
    rows = measurer.measure([Photo(str(i), image) for i, image in enumerate(originals)])["hashes"]
    catalog.measurements.record_measurements(
        [Measurements(measurer.model, [row["sha256"] for row in rows], {"hashes": rows})], {}
    )
    with catalog.open(read_only=True) as con:
        stored = con.execute("SELECT sha256, phash, views FROM hashes").fetchall()
    assert {sha256: (phash, views) for sha256, phash, views in stored} == {
        row["sha256"]: (row["phash"], row["views"]) for row in rows
    }

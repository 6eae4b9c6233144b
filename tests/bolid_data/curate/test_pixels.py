"""Photos that are now decoded to other pixels are measured again, and no others."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.curate.captions.run import caption_photos
from bolid_data.curate.run import filter_photos
from bolid_data.dataset import Dataset
from tests.bolid_data.test_colour import XMP, cut_out
from tests.bolid_data.test_images import encoded, picture
from tests.support.colour_profiles import PROFILES, SRGB

MANIFEST = """
name = "mine"
[source]
kind = "folder"
path = "photos"
[filter]
min_width = 10
min_height = 10
min_keypoints = 0
people = 1
min_photos_per_person = 1
max_hamming = 0
background = "{background}"
"""
PHOTOS = {
    "plain": encoded(picture(), "JPEG"),
    "srgb": encoded(picture(100, 64), "JPEG", icc_profile=SRGB),
    "png": encoded(picture(104, 64), "PNG"),
    "display_p3": encoded(picture(108, 64), "JPEG", icc_profile=PROFILES["display_p3"]),
    "xmp": encoded(picture(112, 64), "JPEG", xmp=XMP),
    "alpha": encoded(cut_out()[0], "PNG"),
    "16bit": encoded(Image.new("I;16", (60, 40), 30000), "PNG"),
}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    for name, data in PHOTOS.items():
        (tmp_path / "photos" / "anna" / f"{name}.img").write_bytes(data)
    dataset = Dataset(tmp_path / "data")
    scrape(manifest(dataset), dataset)
    assert filter_photos(manifest(dataset), dataset, measure_all=True)["measured"] == len(PHOTOS)
    return dataset


def manifest(dataset: Dataset, background: str = "white") -> manifests.Manifest:
    path = dataset.root.parent / "m.toml"
    path.write_text(MANIFEST.format(background=background))
    return manifests.load(path)


def measured(dataset: Dataset) -> dict[str, set[str]]:
    """For each photo, the descriptions of the pixels that were measured."""
    with dataset.catalog.open(read_only=True) as con:
        rows: list[Any] = con.execute(
            """SELECT url, list(DISTINCT pixels) FROM measured JOIN sightings USING (sha256) GROUP BY url"""
        ).fetchall()
    return {Path(url).stem: set(pixels) for url, pixels in rows}


def test_the_measured_pixels_are_recorded(dataset: Dataset) -> None:
    assert measured(dataset) == {
        "plain": {""}, "srgb": {""}, "png": {""}, "display_p3": {"2 profile"}, "xmp": {"2 xmp"},
        "alpha": {"2 alpha on white"}, "16bit": {"2 16bit"},
    }  # fmt: skip
    assert filter_photos(manifest(dataset), dataset, measure_all=True)["measured"] == 0


def test_in_an_older_dataset_only_photos_that_were_read_wrongly_are_measured_again(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    with dataset.catalog.open() as con:  # as version 1 left it
        con.execute("UPDATE photos SET traits = NULL")
        con.execute("UPDATE measured SET pixels = ''")
        before = dict(con.execute("SELECT sha256, count(*) FROM measured GROUP BY sha256").fetchall())
    capsys.readouterr()
    assert filter_photos(manifest(dataset), dataset, measure_all=True)["measured"] == 4
    assert "4 photos are measured again" in capsys.readouterr().err
    assert measured(dataset)["display_p3"] == {"2 profile"}
    with dataset.catalog.open(read_only=True) as con:
        assert dict(con.execute("SELECT sha256, count(*) FROM measured GROUP BY sha256").fetchall()) == before
        for table in ("hashes", "qualities", "watermarks"):
            assert con.execute(f"SELECT count(*) - count(DISTINCT sha256) FROM {table}").fetchone() == (0,)
    assert filter_photos(manifest(dataset), dataset, measure_all=True)["measured"] == 0


def test_another_background_measures_transparent_photos_again(dataset: Dataset) -> None:
    assert filter_photos(manifest(dataset, "#102030"), dataset, measure_all=True)["measured"] == 1
    assert measured(dataset)["alpha"] == {"2 alpha on #102030"}


def test_photos_with_other_pixels_are_captioned_again(dataset: Dataset) -> None:
    alpha = next(sha for (sha,) in _sha256s(dataset, "alpha"))
    loaded = manifest(dataset)
    for sha256 in (alpha, next(sha for (sha,) in _sha256s(dataset, "plain"))):
        dataset.catalog.decisions.decide("keep", [("anna", sha256)], "me", "wanted")
    filter_photos(loaded, dataset, measure_all=True)
    assert caption_photos(loaded, dataset)["captioned"] == 2
    other = manifest(dataset, "black")
    filter_photos(other, dataset, measure_all=True)
    assert caption_photos(other, dataset)["captioned"] == 1


def _sha256s(dataset: Dataset, name: str) -> list[tuple[str]]:
    with dataset.catalog.open(read_only=True) as con:
        return con.execute("SELECT sha256 FROM sightings WHERE contains(url, $1)", [f"/{name}."]).fetchall()

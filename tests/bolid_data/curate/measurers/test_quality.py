"""Quality measurements order photos as people would."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.quality import QualityMeasurer
from bolid_data.images import read_upright
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import take_photo
from tests.support.paths import REAL_PHOTOS


def measure(image: Image.Image) -> dict[str, float]:
    (row,) = QualityMeasurer().measure([Photo("a", image)])["qualities"]
    assert row.pop("sha256") == "a"
    return row


def drawn() -> list[Image.Image]:
    return [Image.fromarray(take_photo([draw_person(41, i)], (41, i), (600, 800)).image) for i in range(4)]


def real() -> list[Image.Image]:
    images = [read_upright(path) for path in sorted(REAL_PHOTOS.rglob("*.jpg"))]
    for image in images:
        image.thumbnail((1000, 1000))  # faster
    return images


needs_photos = pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="no real photos at ../shared/photos")


@pytest.fixture(scope="module", params=["drawn", pytest.param("real", marks=needs_photos)])
def photos(request: pytest.FixtureRequest) -> list[Image.Image]:
    return drawn() if request.param == "drawn" else real()


def blurred(image: Image.Image, share: float = 1 / 400) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) * share))


def test_a_blurred_photo_is_less_sharp(photos: list[Image.Image]) -> None:
    for image in photos:
        sharp, slightly, very = (
            measure(variant)["sharpness"] for variant in (image, blurred(image, 1 / 800), blurred(image))
        )
        assert sharp > 2 * slightly > 4 * very


@needs_photos
def test_one_threshold_separates_sharp_real_photos_from_blurred_ones() -> None:
    sharp = [measure(image)["sharpness"] for image in real()]
    assert min(sharp) > 1.5 * max(measure(blurred(image))["sharpness"] for image in real())


def test_sharpness_survives_halving_but_not_upscaling(photos: list[Image.Image]) -> None:
    for image in photos:
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        small = ImageOps.contain(image, (160, 160))
        sharp = measure(image)["sharpness"]
        assert measure(half)["sharpness"] > 0.3 * sharp
        assert measure(small.resize(image.size, Image.Resampling.BICUBIC))["sharpness"] < 0.3 * sharp


def test_a_background_out_of_focus_is_not_blur(photos: list[Image.Image]) -> None:
    for image in photos:
        width, height = image.size
        focused = blurred(image)
        focused.paste(image.crop((width // 4, height // 4, width * 3 // 4, height * 3 // 4)), (width // 4, height // 4))
        assert measure(focused)["sharpness"] > 2 * measure(blurred(image))["sharpness"]


def test_brightness_is_that_of_the_light(photos: list[Image.Image]) -> None:
    for image in photos:
        gains = (0.2, 1, 1.6)
        dark, as_is, bright = (measure(ImageEnhance.Brightness(image).enhance(gain))["brightness"] for gain in gains)
        assert dark == pytest.approx(as_is / 5, abs=0.01) and as_is < bright
    assert measure(Image.new("RGB", (300, 400), "white"))["brightness"] == 1
    assert measure(Image.new("RGB", (300, 400), "black"))["brightness"] == 0


def test_a_grey_photo_has_no_colour_and_a_pale_one_little(photos: list[Image.Image]) -> None:
    for image in photos:
        grey, pale, as_is = (
            measure(variant)["colourfulness"]
            for variant in (ImageOps.grayscale(image).convert("RGB"), ImageEnhance.Color(image).enhance(0.3), image)
        )
        assert grey < 0.5 < pale < as_is / 2


def test_colourfulness_follows_the_paper() -> None:
    # Half red, half green: rg = ±255 and yb = 127.5, so sqrt(255² + 0²) + 0.3 · sqrt(0² + 127.5²).
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:, :50, 0] = pixels[:, 50:, 1] = 255
    assert measure(Image.fromarray(pixels))["colourfulness"] == pytest.approx(255 + 0.3 * 127.5, rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (40, 5000)])
def test_any_shape_is_measured(size: tuple[int, int]) -> None:
    row = measure(Image.new("RGB", size, "red"))
    assert row["sharpness"] == 0 and row["brightness"] == pytest.approx(0.298, abs=0.01) and row["colourfulness"] > 80


def test_rows_do_not_depend_on_the_batch() -> None:
    images = drawn()
    together = QualityMeasurer().measure([Photo(str(i), image) for i, image in enumerate(images)])["qualities"]
    assert together == [{"sha256": str(i)} | measure(image) for i, image in enumerate(images)]
    assert all(round(value, 4) == value for row in together for key, value in row.items() if key != "sha256")

"""The watermark classifier with its committed weights, on people, words and photos it was not trained on."""

import numpy as np
import pytest
import torch
from PIL import Image

from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.watermark import WatermarkMeasurer
from bolid_data.curate.measurers.watermark_network import SIDE, STRIDE
from bolid_data.gallery.overlay import KINDS, OPACITY, overlay
from bolid_data.images import read_upright
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from small_world.training.watermark_ink import fonts
from small_world.training.watermark_samples import CROP, Samples, printed
from tests.support.paths import REAL_PHOTOS

needs_photos = pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="no real photos at ../shared/photos")
NEW_SEED = 31


@pytest.fixture(scope="module")
def measurer() -> WatermarkMeasurer:
    return WatermarkMeasurer()


@pytest.fixture(scope="module")
def drawn() -> list[Image.Image]:
    people = [draw_person(NEW_SEED, i) for i in range(4)]
    shots = [(people[i % 4], (NEW_SEED, i), Shot(FRAMINGS[i % 4])) for i in range(12)]
    return [Image.fromarray(take_photo([person], seed, (1024, 1400), shot).image) for person, seed, shot in shots]


def probabilities(measurer: WatermarkMeasurer, images: list[Image.Image]) -> np.ndarray:
    rows = measurer.measure([Photo(str(i), image) for i, image in enumerate(images)])["watermarks"]
    assert [row["sha256"] for row in rows] == [str(i) for i in range(len(images))]
    return np.array([row["probability"] for row in rows])


def test_clean_drawn_photos_have_no_watermark(measurer: WatermarkMeasurer, drawn: list[Image.Image]) -> None:
    assert (probabilities(measurer, drawn) <= 0.5).mean() >= 0.8


@pytest.mark.parametrize(("kind", "share"), [("watermark_text", 0.9), ("watermark_tiled", 1), ("watermark_logo", 0.9)])
@pytest.mark.parametrize("strength", OPACITY)
def test_the_gallerys_watermarks_are_detected(
    measurer: WatermarkMeasurer, drawn: list[Image.Image], kind: str, share: float, strength: str
) -> None:
    assert KINDS == ("watermark_text", "watermark_tiled", "watermark_logo")
    rng = np.random.default_rng(NEW_SEED)
    marked = [overlay(image, kind, strength, rng) for image in drawn]
    assert (probabilities(measurer, marked) > 0.5).mean() >= share


@needs_photos
def test_marked_real_photos_are_separated_from_clean_ones(measurer: WatermarkMeasurer) -> None:
    rng = np.random.default_rng(NEW_SEED)
    images = [read_upright(path) for path in sorted(REAL_PHOTOS.rglob("*.jpg"))]
    marked = [overlay(image, KINDS[i % 3], "strong", rng) for i, image in enumerate(images)]
    clean, with_mark = probabilities(measurer, images), probabilities(measurer, marked)
    assert (clean <= 0.5).mean() >= 0.9
    assert (with_mark > 0.5).mean() >= 0.75  # the model card lists what is missed
    assert (with_mark[:, None] > clean).mean() >= 0.9


def test_print_in_the_scene_is_rarely_taken_for_a_watermark(
    measurer: WatermarkMeasurer, drawn: list[Image.Image]
) -> None:
    rng = np.random.default_rng(NEW_SEED)
    shirts = [printed(image, rng, fonts()) for image in drawn]
    assert (probabilities(measurer, shirts) > 0.5).mean() <= 0.25


def test_rows_do_not_depend_on_the_batch(measurer: WatermarkMeasurer, drawn: list[Image.Image]) -> None:
    together = probabilities(measurer, drawn[:5])
    alone = [probabilities(measurer, [image])[0] for image in drawn[:5]]
    assert together.tolist() == alone and all(round(value, 4) == value for value in alone)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (40, 5000)])
def test_any_shape_is_measured(measurer: WatermarkMeasurer, size: tuple[int, int]) -> None:
    assert 0 <= probabilities(measurer, [Image.new("RGB", size, "grey")])[0] <= 1


def test_a_training_sample_depends_only_on_its_number(drawn: list[Image.Image]) -> None:
    samples, resumed = Samples(drawn, 0, 0, 12), Samples(drawn, 0, 7, 12)
    assert len(resumed) == 5
    for expected, sample in zip((samples[7], samples[8]), (resumed[0], resumed[1]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, sample, strict=True))


def test_labels_mark_patches_with_ink(drawn: list[Image.Image]) -> None:
    samples = Samples(drawn, 0, 0, 60)
    labels = torch.stack([samples[i][1] for i in range(60)])
    assert labels.shape == (60, CROP // STRIDE, CROP // STRIDE) and CROP < SIDE
    assert set(labels.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert 0.35 < (labels == 1).flatten(1).any(1).float().mean() < 0.75

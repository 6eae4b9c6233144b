"""Photos of many shapes: the sizes they are trained at, and which part of them is seen."""

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from bolid_train.data.buckets import size_of, sizes
from bolid_train.data.crops import crop, crop_face
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.sampler import PersonSampler
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.training.step import training_features
from tests.support.drawn_shards import write_manifest


@pytest.mark.parametrize(("resolution", "step"), [(1024, 64), (512, 32), (64, 8)])
def test_sizes_are_those_of_sdxl_or_smaller_in_proportion(resolution: int, step: int) -> None:
    found = sizes(resolution)
    assert (resolution, resolution) in found
    assert len(found) > 3
    for width, height in found:
        assert width * height <= resolution**2 and width % step == height % step == 0
        assert 0.5 <= width / height <= 2
        assert (height, width) in found


def test_the_sizes_at_1024_are_those_the_paper_lists() -> None:
    wide = {(1344, 768), (1216, 832), (1152, 896), (1088, 960)}
    assert set(sizes(1024)) == {(1024, 1024), *wide, *((height, width) for width, height in wide)}


def test_a_photo_is_trained_at_the_nearest_aspect_ratio(dataset: Path, tmp_path: Path) -> None:
    settings = write_manifest(tmp_path, buckets=True).train
    photo = ShardDataset(dataset / "shards").people("train")["anna"][0]
    shapes = {(300, 300): (64, 64), (240, 320): (56, 72), (100, 900): (48, 80), (900, 100): (80, 48)}
    for (width, height), size in shapes.items():
        assert size_of(dataclasses.replace(photo, width=width, height=height), settings) == size
    assert size_of(photo, settings.model_copy(update={"buckets": False})) == (64, 64)


def test_the_crop_keeps_the_person_and_its_keypoints(dataset: Path) -> None:
    shards = ShardDataset(dataset / "shards")
    sample = shards.people("train")["anna"][0]
    square, keypoints, time_ids = crop(shards.photo(sample), sample.keypoints, (64, 64))
    assert square.size == (64, 64)
    height, width, top, left, *target = time_ids.tolist()
    assert (height, width, left, target) == (320, 240, 0, [64, 64])
    nose = torch.tensor(sample.keypoints[0][:2])
    torch.testing.assert_close(keypoints[0, :2] * 64, nose * 64 / 240 - torch.tensor([left, top]), atol=1, rtol=0)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (80, 48)])
def test_keypoints_stay_on_what_they_mark_at_every_size(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", (300, 200))
    photo.paste((255, 255, 255), (195, 95, 205, 105))
    keypoints = [(200.0, 100.0, 0.9)] * 17
    cut, found, time_ids = crop(photo, keypoints, size)
    assert cut.size == size and time_ids[4:].tolist() == [size[1], size[0]]
    x, y = (found[0, :2] * torch.tensor(size)).tolist()
    assert min(cut.getpixel((int(x), int(y)))) > 200
    assert max(cut.getpixel((int(x) - 10, int(y)))) < 50


def test_the_crop_takes_as_much_of_the_photo_as_its_shape_lets_it() -> None:
    photo = Image.new("RGB", (200, 300))
    corners = [(0.0, 0.0, 0.9), (200.0, 300.0, 0.9)] * 8 + [(100.0, 150.0, 0.9)]
    assert crop(photo, corners, (48, 72))[1][0].tolist() == pytest.approx([0, 0, 0.9])
    assert crop(photo, corners, (48, 72))[1][1].tolist() == pytest.approx([1, 1, 0.9])


def _face_photo() -> tuple[Image.Image, list[tuple[float, float, float]]]:
    photo = Image.new("RGB", (400, 400))
    photo.paste((255, 0, 0), (180, 40, 220, 80))
    face = [(200.0, 62.0), (210.0, 55.0), (190.0, 55.0), (218.0, 60.0), (182.0, 60.0)]
    body = [(200.0 + 5 * n, 100.0 + 20 * n) for n in range(12)]
    return photo, [(*point, 0.9) for point in face + body]


def test_the_reference_may_be_the_face_alone() -> None:
    photo, keypoints = _face_photo()
    face = crop_face(photo, keypoints, 0.5)
    assert face.size == (36 * 3, 36 * 3)
    red = sum(pixel[0] > 100 for pixel in face.getdata())
    assert red == 40 * 40


def test_a_face_in_profile_is_not_cut_to_a_few_pixels() -> None:
    photo, keypoints = _face_photo()
    one = [keypoints[0], *[(x, y, 0.1) for x, y, _ in keypoints[1:5]], *keypoints[5:]]
    face = crop_face(photo, one, 0.5)
    assert face.width == pytest.approx((320 - 62) / 4, abs=3)


def test_without_a_visible_face_the_whole_photo_is_the_reference() -> None:
    photo, keypoints = _face_photo()
    assert crop_face(photo, [(x, y, 0.1) for x, y, _ in keypoints], 0.5).size == photo.size
    assert crop_face(photo, [], 0.5).size == photo.size


def test_a_batch_of_features_has_one_shape_and_says_its_size(dataset: Path, tmp_path: Path) -> None:
    settings = write_manifest(tmp_path, buckets=True).train
    cache = FeatureCache(
        tmp_path / "features", Base.resolve(settings, tmp_path), settings, training_features(settings, tmp_path)
    )
    shards = ShardDataset(dataset / "shards")
    people = cache.fill(shards, shards.people("train"), torch.device("cpu"))
    batch = make_batch(cache, PersonSampler(people, 2, 3, seed=0, size_of=cache.size_of).items(0))
    assert batch.latents.shape == (2, 4, 18, 14)
    assert batch.time_ids[:, 4:].tolist() == [[72, 56]] * 2

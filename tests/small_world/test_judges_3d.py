"""The judges of the world in three dimensions: their networks, trainings and measuring, before any weights."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bolid_data.synthetic.camera import frame_people
from bolid_train.embedded.attributes import CLASSES_3D, AttributeClassifier
from bolid_train.embedded.body import BodyEvaluator
from bolid_train.embedded.keypoints import KeypointNetwork
from small_world.check.attributes import predict
from small_world.check.body import clothes, embed, shown_together
from small_world.check.keypoints import detect
from small_world.check.photos import shows
from small_world.training import attributes, body, corpus_file, keypoints
from small_world.training.augmentation import MIRRORED, blur, move
from small_world.training.corpus_file import PackedPhotos
from small_world.world3d.photos import Photos
from small_world.worlds import WORLD_3D

TRAININGS = (keypoints, body, attributes)


@pytest.fixture(scope="module")
def photos(packed: Path) -> PackedPhotos:
    return corpus_file.read(packed)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_maps_have_the_same_size_in_both_worlds() -> None:
    for side in (64, 128):
        network = KeypointNetwork(side).eval()
        maps = network.backbone(torch.zeros(1, 3, side, side))
        assert [one.shape[-1] for one in maps] == [32, 16, 8, 4]
        assert network.maps(torch.zeros(1, 3, side, side))[0].shape == (1, 17, 32, 32)


@pytest.mark.parametrize("network", [KeypointNetwork(128), BodyEvaluator(128), AttributeClassifier(CLASSES_3D, 128)])
def test_other_sizes_are_resized_to_the_network_s_own(network: nn.Module) -> None:
    coarse = torch.rand(2, 3, 8, 8) * 2 - 1
    network.eval()
    with torch.no_grad():
        small, large = (network(interpolate(coarse, (side, side), mode="bilinear")) for side in (128, 256))
    if isinstance(network, KeypointNetwork):
        large[..., :2] /= 2  # in the pixels of the image
    elif isinstance(network, AttributeClassifier):
        small, large = torch.cat(small, 1), torch.cat(large, 1)
    assert (large - small).abs().max() < 0.05 * small.std()


def test_the_classes_are_the_words_of_the_world() -> None:
    assert list(CLASSES_3D.items()) == list(WORLD_3D.words.items())


@pytest.mark.parametrize("training", TRAININGS, ids=lambda module: module.__name__.split(".")[-1])
def test_training_goes_on_where_it_was_stopped(training: ModuleType, photos: PackedPhotos, tmp_path: Path) -> None:
    schedule = replace(training.SCHEDULES["3d"], steps=1)
    trained = training.train(WORLD_3D, photos, tmp_path, schedule)
    written = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    again = training.train(WORLD_3D, photos, tmp_path, schedule)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == written
    state = trained.state_dict()
    assert all(torch.equal(state[name], value) for name, value in again.state_dict().items())
    assert not any("traits" in name for name in state)


def test_the_judges_share_no_seed_with_the_network_that_trains_adapters() -> None:
    seeds = [training.SCHEDULES["3d"].seed for training in TRAININGS]
    assert len(set(seeds)) == len(seeds)


def test_the_body_of_a_photo_is_in_standard_deviations(photos: PackedPhotos) -> None:
    learning = body.Recognising(body.Learner(WORLD_3D), WORLD_3D, photos)
    assert learning.bodies.shape == (8, len(WORLD_3D.body))
    assert learning.bodies.abs().max() < 5
    assert torch.equal(learning.bodies[0], learning.bodies[3]) and not torch.equal(
        learning.bodies[0], learning.bodies[4]
    )


def test_joints_move_with_what_is_at_them() -> None:
    """A white dot at each of two joints is where the moved joints say, mirrored or not."""
    places = torch.tensor([[40.3, 70.8], [80.6, 30.1]])
    centres = torch.arange(128) + 0.5
    images = torch.stack([_dot(centres, *place) for place in places.tolist()]).repeat(8, 1, 1, 1)
    truth = torch.zeros(16, 17, 3)
    joints = torch.tensor([9, 14]).repeat(8)
    truth[torch.arange(16), joints] = torch.cat([places, torch.ones(2, 1)], 1).repeat(8, 1)
    moved, points = move(images, truth, torch.Generator().manual_seed(0), 0.2, 0.1, 0.15, still=0)
    white = moved.mean(1)
    found = (
        torch.stack([(white.sum(1) * centres).sum(1), (white.sum(2) * centres).sum(1)], 1) / white.sum((1, 2))[:, None]
    )
    row, joint = points[..., 2].nonzero(as_tuple=True)
    assert torch.equal(row, torch.arange(16))
    mirrored = joint != joints
    assert mirrored.any() and not mirrored.all()
    assert torch.equal(joint[mirrored], torch.tensor(MIRRORED)[joints[mirrored]])
    torch.testing.assert_close(found, points[row, joint, :2], atol=0.1, rtol=0)


def _dot(centres: Tensor, x: float, y: float) -> Tensor:
    across, down = ((-((centres - place) ** 2) / 8).exp() for place in (x, y))
    return (down[:, None] * across).expand(3, -1, -1)


def test_the_middle_of_a_pixel_is_at_a_half() -> None:
    """The renderer's convention, which the world's keypoints have, is that of `move` without an offset."""
    assert WORLD_3D.keypoint_offset == 0
    points = np.random.default_rng(0).normal(size=(50, 3)) * (0.3, 0.2, 0.5) + (0, 0, 1)
    camera = frame_people(np.random.default_rng(1), points, points[:, 2].min(), True, (128, 128), "full")
    x, y = np.array([0.5, 64.5, 127.5]), np.array([0.5, 20.5, 127.5])
    ahead = camera.place + 3 * camera.rays(x, y)
    np.testing.assert_allclose(camera.project(ahead)[:, :2], np.stack([x, y], 1), atol=1e-2)


def test_blurring_is_a_binomial_filter() -> None:
    images = torch.zeros(64, 3, 9, 9)
    images[:, :, 4, 4] = 1
    blurred = blur(images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(blurred.sum((2, 3)), torch.ones(64, 3))
    softest = blurred[blurred[:, 0, 4, 4].argmin(), 0]
    share = (1 - softest[4, 4]) / (1 - 36 / 256)
    weights = torch.tensor([1.0, 4, 6, 4, 1])
    torch.testing.assert_close(
        softest[2:7, 2:7] - (1 - share) * images[0, 0, 2:7, 2:7], share * weights.outer(weights) / 256
    )


def test_the_measures_take_drawn_and_packed_photos(few: Photos, photos: PackedPhotos) -> None:
    for some in (few, photos):
        assert detect(KeypointNetwork(128).eval(), some).shape == (8, 17, 3)
        embeddings = embed(BodyEvaluator(128).eval(), some)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(8))
        classes = predict(AttributeClassifier(CLASSES_3D, 128).eval(), some)
        assert classes.shape == some.labels.shape


def test_front_and_back_are_by_the_turn(few: Photos) -> None:
    for word, turned in (("from the front", np.abs(few.yaws) <= 55), ("from behind", np.abs(few.yaws) > 125)):
        assert np.array_equal(shows(WORLD_3D, few, "facing", word).numpy(), turned) and turned.any()
    pairs = shown_together(WORLD_3D, few)
    opposite = pairs["front against back"]
    assert opposite.any() and torch.equal(opposite, opposite.T)
    for one, other in opposite.nonzero().tolist():
        assert {abs(few.yaws[one]) > 125, abs(few.yaws[other]) > 125} == {True, False}
    assert torch.equal(pairs["both full-body, front against back"], opposite & pairs["both full-body"])


def test_clothes_agree_on_two_colours_at_most(few: Photos) -> None:
    worn = clothes(WORLD_3D, few)
    assert (worn.diagonal() == 2).all() and worn.min() < 2

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from bolid_data.synthetic.pose import draw_pose
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.backbone import load_embedded
from bolid_train.embedded.keypoints import KeypointNetwork
from small_world.check.keypoints import detect, distances, heights
from small_world.pixels import pixels
from small_world.sdxl import build_vae
from small_world.training import keypoints as training
from small_world.training.augmentation import MIRRORED, move
from small_world.training.loop import Schedule
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT
from small_world.worlds import FLAT


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=4))


@pytest.fixture(scope="module")
def gallery_photo() -> tuple[Tensor, np.ndarray]:
    pose = draw_pose(np.random.default_rng(2), "standing", "down")
    taken = take_photo([draw_person(3, 0)], (1, 2), (480, 640), Shot("full", yaw=0, pose=pose))
    image = torch.from_numpy(taken.image).permute(2, 0, 1)[None].float() / 127.5 - 1
    return image, taken.truth.people[0].keypoints


def test_joints_of_people_never_seen_are_found_within_two_percent_of_the_image(photos: Photos) -> None:
    found = detect(load_keypoints("tiny-keypoints"), photos)
    assert distances(found, torch.from_numpy(photos.keypoints)).nanmean() < 0.02 * 64


def test_confidence_says_which_joints_the_photo_shows(photos: Photos) -> None:
    found = detect(load_keypoints("tiny-keypoints"), photos)
    assert ((found[..., 2] > 0.5).numpy() == (photos.keypoints[..., 2] > 0.5)).mean() > 0.95


def test_a_larger_picture_gives_the_same_joints_in_its_own_pixels(photos: Photos) -> None:
    detector = load_keypoints("tiny-keypoints")
    images = pixels(photos, torch.arange(4))
    large = torch.nn.functional.interpolate(images, (192, 96), mode="bilinear")
    shares = detector(large)[..., :2] / torch.tensor([96, 192])
    assert torch.allclose(shares, detector(images)[..., :2] / 64, atol=0.02)


def test_gradients_of_a_loss_on_joints_reach_the_latents_through_a_vae_decoder() -> None:
    torch.manual_seed(0)
    detector = load_keypoints("tiny-keypoints")
    vae = build_vae().eval()
    latents = torch.randn(1, vae.config.latent_channels, 16, 16, requires_grad=True)
    found = detector(vae.decode(latents).sample)
    found[0, 10, 0].backward()
    assert latents.grad is not None and latents.grad.isfinite().all() and latents.grad.norm() > 1e-4


def test_following_the_gradient_moves_a_joint_where_it_is_wanted(photos: Photos) -> None:
    detector = load_keypoints("tiny-keypoints")
    images = pixels(photos, torch.arange(1)).requires_grad_()
    before = detector(images)
    (gradient,) = torch.autograd.grad(before[0, 9, 0], images)
    with torch.no_grad():
        after = detector(images + 2 * gradient / gradient.norm())
    assert after[0, 9, 0] > before[0, 9, 0] + 0.2


def test_yolo_finds_the_joints_of_a_gallery_photo(gallery_photo: tuple[Tensor, np.ndarray]) -> None:
    image, truth = gallery_photo
    with torch.no_grad():
        found = load_keypoints("yolo11n-pose")(image)[0].numpy()
    seen = truth[:, 2] > 0
    assert np.linalg.norm(found[seen, :2] - truth[seen, :2], axis=1).max() < 0.04 * 640
    assert found[seen, 2].min() > 0.4


@pytest.mark.parametrize("left_is_larger", [True, False])
def test_of_two_people_yolo_takes_the_more_prominent(
    gallery_photo: tuple[Tensor, np.ndarray], left_is_larger: bool
) -> None:
    image, truth = gallery_photo
    small = torch.nn.functional.interpolate(image, scale_factor=0.6, mode="bilinear", antialias=True)
    grey = torch.zeros(1, 3, image.shape[2], small.shape[3])
    grey[:, :, -small.shape[2] :] = small
    parts = [image, grey] if left_is_larger else [grey, image]
    with torch.no_grad():
        found = load_keypoints("yolo11n-pose")(torch.cat(parts, dim=3))[0].numpy()
    seen, shift = truth[:, 2] > 0, 0 if left_is_larger else small.shape[3]
    assert np.linalg.norm(found[seen, :2] - truth[seen, :2] - (shift, 0), axis=1).max() < 0.06 * 640


def test_gradients_reach_a_gallery_photo_through_yolo(gallery_photo: tuple[Tensor, np.ndarray]) -> None:
    image = gallery_photo[0].clone().requires_grad_()
    detector = load_keypoints("yolo11n-pose")
    detector(image)[0, :, :2].sum().backward()
    assert image.grad is not None and image.grad.isfinite().all() and (image.grad != 0).float().mean() > 0.5


def test_yolo_is_sure_of_no_joint_where_nobody_is() -> None:
    with torch.no_grad():
        assert load_keypoints("yolo11n-pose")(torch.zeros(1, 3, 320, 320))[..., 2].max() == 0


def test_an_unknown_detector_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'openpose' is not known.*tiny-keypoints, tiny-keypoints-3d, yolo11n-pose"):
        load_keypoints("openpose")


def test_augmented_joints_stay_on_the_figure(photos: Photos) -> None:
    """The network finds joints of moved and mirrored photos where the moved truth says they are."""
    truth = torch.from_numpy(photos.keypoints)
    still = pixels(photos, torch.arange(len(photos)))
    generator = torch.Generator().manual_seed(0)
    images, moved = move(still, truth, generator, 0.2, 0.1, 0.15, offset=FLAT.keypoint_offset)
    assert (moved[..., :2] - truth[..., :2]).abs().mean() > 3
    with torch.no_grad():
        found = load_embedded(KeypointNetwork(), "tiny-keypoints")(images)
    assert distances(found, moved).nanmean() < 0.03 * 64


def test_left_and_right_change_places_in_a_mirror() -> None:
    assert MIRRORED[5] == 6 and MIRRORED[16] == 15 and MIRRORED[0] == 0
    assert [MIRRORED[joint] for joint in MIRRORED] == list(range(17))


def test_training_goes_on_where_it_was_stopped(photos: Photos, tmp_path: Path) -> None:
    schedule = Schedule(steps=2, learning_rate=1e-3, warmup=1, checkpoint_every=1)
    whole = training.train(FLAT, photos, tmp_path / "whole", schedule)
    checkpoint = tmp_path / "whole" / "checkpoint.pt"
    written = checkpoint.stat().st_mtime_ns
    again = training.train(FLAT, photos, tmp_path / "whole", schedule)
    assert checkpoint.stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_heights_are_known_only_where_eyes_and_ankles_are_seen(photos: Photos) -> None:
    tall = heights(torch.from_numpy(photos.keypoints))
    seen = torch.from_numpy(photos.keypoints)[:, 15:, 2].all(1)
    assert torch.equal(~tall.isnan(), seen)
    assert tall[seen].min() > 25 and tall[seen].max() < 64

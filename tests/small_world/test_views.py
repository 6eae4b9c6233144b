"""What several photos tell: the reader on numbers whose worth is known, and what photos give it."""

import numpy as np
import pytest
import torch

from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.shape import SHAPE
from small_world.check.views import COUNTS, see, weighted
from small_world.pixels import pixels
from small_world.view_features import mirrored, of_joints
from small_world.view_reader import explained, read, table
from small_world.world3d.photos import Photos


def test_more_photos_tell_more_of_what_a_photo_hints_at_and_nothing_of_what_it_does_not() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(120, 2))
    hints = truth[:, None, None, :1] + rng.normal(size=(120, 1, 8, 1))
    photos = np.concatenate([hints, rng.normal(size=(120, 1, 8, 3))], 3).repeat(2, axis=1).astype(np.float32)
    found = read(photos, truth, (1, 8), steps=150)
    assert found[1].shape == (120, 8, 2) and found[8].shape == (120, 1, 2)
    one, eight = explained(found[1], truth), explained(found[8], truth)
    assert 0.35 < one[0] < 0.55 and 0.75 < eight[0] < 0.95  # at best 1 / 2 and 8 / 9
    assert max(one[1], eight[1]) < 0.1
    lines = table({"hints": found}, truth, ("known", "unknown"))
    assert len(lines) == 4 and lines[2] == f"| hints | 1 | {one[0]:.2f} | {one[1]:.2f} |"


def test_every_photo_and_its_mirror_image_are_seen_in_the_order_of_people(few: Photos) -> None:
    detector = load_keypoints("tiny-keypoints")
    seen = see(few, detector, {"columns": lambda images: images.mean((1, 2))})
    people, photo = 1, 2  # the second person's third photo
    with torch.inference_mode():
        image = pixels(few, torch.tensor([6]))
        joints = detector(image)
    assert seen["joints"].shape[:3] == seen["columns"].shape[:3] == (2, 2, 4)
    np.testing.assert_allclose(seen["joints"][people, 0, photo], of_joints(joints[0].numpy()), atol=1e-4)
    expected = of_joints(mirrored(joints[0].numpy(), 128))
    np.testing.assert_allclose(seen["joints"][people, 1, photo], expected, atol=1e-4)
    columns = weighted(image, joints).mean((1, 2))[0].numpy()
    np.testing.assert_allclose(seen["columns"][people, 0, photo], columns, atol=1e-4)
    away = np.abs(seen["columns"][people, 1, photo] - columns[::-1]).mean()  # pixels' middles are not mirrored exactly
    assert away < 0.02 < np.abs(columns - columns[::-1]).mean()


def test_a_view_keeps_the_body_and_dims_the_rest(few: Photos) -> None:
    images, keypoints = pixels(few, torch.arange(8)) / 2 + 0.5, torch.from_numpy(few.keypoints)
    views = (weighted(2 * images - 1, keypoints) + 1) / 2
    share = views.mean(1).clamp(min=1e-4) / images.mean(1).clamp(min=1e-4)
    on_body = torch.from_numpy(few.masks)
    assert share[on_body].mean() > 2 * share[~on_body].mean() and share.min() == pytest.approx(0.1, abs=0.01)
    keypoints[0, :, 2] = 0
    assert torch.equal(weighted(images, keypoints)[0], images[0])


def test_a_table_has_a_column_for_every_value_and_rows_for_every_count() -> None:
    truth = np.random.default_rng(0).normal(size=(4, len(SHAPE)))
    found = {count: truth[:, None].repeat(16 // count, 1) for count in COUNTS}
    lines = table({"the truth": found}, truth, SHAPE)
    assert lines[2:] == [f"| the truth | {count} |{' 1.00 |' * len(SHAPE)}" for count in COUNTS]

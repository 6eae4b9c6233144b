"""Each number of the table: what its ends mean, and what a failure counts."""

import pytest
import torch
from torch import Tensor

from bolid_train.data.proportions import mean_proportions
from bolid_train.evaluate import metrics

# COCO-17 of a standing figure, in pixels.
STANDING = torch.tensor(
    [
        *[(50, 10), (52, 8), (48, 8), (54, 9), (46, 9), (60, 25), (40, 25), (66, 40), (34, 40), (68, 55), (32, 55)],
        *[(57, 55), (43, 55), (58, 75), (42, 75), (58, 95), (42, 95)],
    ],
    dtype=torch.float32,
)
NO = torch.tensor([False])


def _figure(change: dict[int, tuple[float, float]] | None = None, unseen: tuple[int, ...] = ()) -> Tensor:
    """(1, 17, 3): the standing figure, some joints elsewhere, some not seen."""
    points = torch.cat([STANDING.clone(), torch.ones(17, 1)], dim=1)
    for joint, place in (change or {}).items():
        points[joint, :2] = torch.tensor(place)
    points[list(unseen), 2] = 0
    return points[None]


ARMS_UP = _figure({7: (70, 10), 8: (30, 10), 9: (72, -5), 10: (28, -5)})


def test_body_sim_is_one_for_another_photo_of_the_person_and_zero_for_one_of_somebody_else() -> None:
    generator = torch.Generator().manual_seed(0)
    people = torch.randn(20, 1, 32, generator=generator)
    photos = people + 0.5 * torch.randn(20, 6, 32, generator=generator)
    others = photos[:, 3:].mean(1)
    different, same = metrics.reference_cosines(photos[:, :3], others)
    assert abs(different) < 0.1 < 0.8 < same

    def score(shown: Tensor) -> float:
        return float(metrics.body_sim(shown, others, torch.zeros(20, dtype=torch.bool), different, same).mean())

    assert score(people[:, 0] + 0.5 * torch.randn(20, 32, generator=generator)) == pytest.approx(1, abs=0.1)
    assert score(photos.roll(1, dims=0)[:, 0]) == pytest.approx(0, abs=0.1)


def test_nobody_on_a_picture_is_a_failure_and_counts_as_a_stranger() -> None:
    figures = torch.cat([_figure(), _figure(unseen=tuple(range(2, 17)))])
    failed = metrics.failures(figures, min_keypoints=6)
    assert failed.tolist() == [False, True]
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert metrics.body_sim(alike, alike, failed, different=0.2, same=0.8).tolist() == pytest.approx([1.25 / 0.9375, 0])
    person = mean_proportions(_figure()[None]).expand(2, 7)
    assert metrics.limb_error(figures, person, failed, between_people=9.0).tolist() == pytest.approx([0, 9], abs=1e-4)
    copied = metrics.pose_copy(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.5]), torch.ones(2), failed)
    assert copied.tolist() == [1, 0]


def test_limb_error_is_the_percentage_by_which_limbs_are_too_long_or_too_short() -> None:
    person = mean_proportions(torch.cat([_figure(), _figure()])[None])
    stretched = _figure({15: (58, 99), 16: (42, 99)})  # shins of 24 instead of 20 px
    error = metrics.limb_error(stretched, person, NO, between_people=9.0)
    assert float(error) == pytest.approx(100 * torch.tensor(24 / 20).log().item() / 7, rel=1e-4)
    larger = _figure()
    larger[..., :2] = larger[..., :2] * 3 + 5
    assert float(metrics.limb_error(larger, person, NO, between_people=9.0)) == pytest.approx(0, abs=1e-3)


def test_limbs_that_cannot_be_measured_are_those_of_a_stranger() -> None:
    person = mean_proportions(_figure()[None])
    assert float(metrics.limb_error(_figure(unseen=(11, 12)), person, NO, between_people=9.0)) == 9


def test_strangers_differ_by_the_mean_over_pairs_of_people() -> None:
    people = torch.tensor([[0.0] * 7, [0.1] * 7, [0.3] * 7])
    assert metrics.error_between_people(people) == pytest.approx(100 * (0.1 + 0.3 + 0.2) / 3)


def test_a_pose_is_the_same_wherever_and_however_large_the_figure_stands() -> None:
    moved = _figure()
    moved[..., :2] = moved[..., :2] * 0.4 + 20
    assert float(metrics.pose_similarity(_figure(), moved)) == pytest.approx(1, abs=1e-5)
    assert float(metrics.pose_similarity(_figure(), ARMS_UP)) < 0.6
    hidden = _figure(unseen=(7, 8, 9, 10))
    assert float(metrics.pose_similarity(hidden, ARMS_UP)) == pytest.approx(1, abs=1e-5)
    assert metrics.pose_similarity(_figure(unseen=(7, 8, 9, 10, 13, 14, 15, 16)), ARMS_UP).isnan().all()


def test_poses_and_limbs_on_images_of_other_sizes_are_compared_in_units_of_the_body() -> None:
    """The reference is on a wide photo, the image is tall; only fractions of width and height would differ."""
    tall, wide = ARMS_UP.clone(), ARMS_UP.clone()
    tall[..., :2] = tall[..., :2] * 8 + torch.tensor([20.0, 200.0])  # of 832 × 1216
    wide[..., :2] = wide[..., :2] * 5 + torch.tensor([700.0, 90.0])  # of 1216 × 832
    assert float(metrics.pose_similarity(tall, wide)) == pytest.approx(1, abs=1e-5)
    person = mean_proportions(wide[None])
    assert float(metrics.limb_error(tall, person, NO, between_people=9.0)) == pytest.approx(0, abs=1e-3)
    fractions = [tall.clone(), wide.clone()]
    for points, size in zip(fractions, ((832.0, 1216.0), (1216.0, 832.0)), strict=True):
        points[..., :2] /= torch.tensor(size)
    assert float(metrics.pose_similarity(*fractions)) < 0.9


def test_pose_copy_is_one_for_the_references_pose_and_zero_for_the_bases() -> None:
    reference = torch.cat([ARMS_UP, ARMS_UP])
    bare = metrics.pose_similarity(torch.cat([_figure(), _figure()]), reference)
    no = torch.tensor([False, False])
    same = metrics.pose_similarity(reference, reference)
    assert metrics.pose_copy(bare, bare, same, no).tolist() == [0, 0]
    assert metrics.pose_copy(same, bare, same, no).tolist() == pytest.approx([1, 1])
    assert metrics.pose_copy(bare, bare, torch.tensor([1.0, torch.nan]), no).isnan().tolist() == [False, True]


def test_only_colours_that_the_prompt_does_not_ask_for_are_a_leak() -> None:
    reference = torch.tensor([[1, 2], [1, 2], [1, 2], [1, -1]])
    asked = torch.tensor([[3, 4], [1, 4], [1, 2], [3, 4]])
    copied = metrics.reference_colour_share(reference, reference, asked)
    assert copied[:2].tolist() == [1, 1] and copied[2].isnan() and copied[3] == 1
    obeyed = metrics.reference_colour_share(asked, reference, asked)
    assert obeyed[:2].tolist() == [0, 0] and obeyed[3] == 0
    assert metrics.reference_colour_share(torch.tensor([[1, 4]]), reference[:1], asked[:1]).tolist() == [0.5]
    assert metrics.clothes_leak(copied[:2], obeyed[:2]).tolist() == [1, 1]
    assert metrics.clothes_leak(obeyed[:2], obeyed[:2]).tolist() == [0, 0]


def test_the_cosine_knows_no_lengths() -> None:
    first, second = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[6.0, 8.0], [5.0, 0.0]])
    assert metrics.cosine(first, second).tolist() == pytest.approx([1, 0])

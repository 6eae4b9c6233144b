from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bolid_train.embedded.body import load_body_evaluator
from small_world.check.body import auc, clothes, embed, means, shown_together
from small_world.pixels import pixels
from small_world.training import body as training
from small_world.training.augmentation import restyle
from small_world.training.loop import Schedule
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT, SECOND_STYLE
from small_world.worlds import FLAT


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=10))


def test_bodies_never_seen_are_told_apart_across_looks_and_poses(photos: Photos) -> None:
    embeddings = embed(load_body_evaluator(), photos)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(len(photos)), atol=1e-5)
    assert auc(embeddings @ embeddings.T, torch.from_numpy(photos.people)) > 0.9


def test_bodies_are_told_apart_in_strokes_never_seen() -> None:
    sketches = draw_split(replace(SECOND_STYLE, people=6))
    embeddings = embed(load_body_evaluator(), sketches)
    assert auc(embeddings @ embeddings.T, torch.from_numpy(sketches.people)) > 0.75


def test_four_photos_say_more_than_one(photos: Photos) -> None:
    people = torch.from_numpy(photos.people)
    embeddings = embed(load_body_evaluator(), photos)
    together, owners = means(embeddings, people)
    assert len(together) == 20
    assert auc(together @ together.T, owners) > auc(embeddings @ embeddings.T, people)


def test_clothes_say_nothing_of_who_is_in_them(photos: Photos) -> None:
    assert auc(clothes(FLAT, photos), torch.from_numpy(photos.people)) == pytest.approx(0.5, abs=0.05)


def test_gradients_reach_the_image(photos: Photos) -> None:
    images = pixels(photos, torch.arange(2)).requires_grad_()
    embeddings = load_body_evaluator().embed(images)
    (embeddings[0] @ embeddings[1]).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_auc_is_one_for_a_perfect_measure_and_half_for_an_idle_one() -> None:
    people = torch.tensor([0, 0, 1, 1])
    same = (people[:, None] == people).float()
    assert auc(same, people) == 1
    assert auc(1 - same, people) == 0
    assert auc(torch.zeros(4, 4), people) == 0.5


def test_auc_counts_only_the_pairs_that_are_wanted() -> None:
    people = torch.tensor([0, 0, 1, 1])
    likeness = torch.tensor([[0, 9, 1, 9], [9, 0, 1, 1], [1, 1, 0, 5], [9, 1, 5, 0]])
    wanted = torch.ones(4, 4, dtype=torch.bool)
    wanted[0, 3] = False
    assert auc(likeness, people) < auc(likeness, people, wanted) == 1


def test_pairs_are_of_what_two_photos_show(photos: Photos) -> None:
    pairs = shown_together(FLAT, photos)
    assert all(torch.equal(wanted, wanted.T) and wanted.any() for wanted in pairs.values())
    assert not (pairs["both full-body"] & pairs["one or both waist-up"]).any()


def test_the_loss_is_lowest_where_photos_of_one_body_agree() -> None:
    people = torch.tensor([0, 0, 1, 1])
    apart = torch.nn.functional.one_hot(people).float()
    mixed = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 1])).float()
    assert training.contrast(apart, people) < 0.01 < training.contrast(mixed, people)


def test_a_batch_holds_several_photos_of_each_of_its_bodies(photos: Photos) -> None:
    rows = training.of_same_people(photos, torch.Generator().manual_seed(0))
    counts = torch.from_numpy(photos.people)[rows].unique(return_counts=True)[1]
    assert len(rows.unique()) == len(rows) and counts.tolist() == [training.PHOTOS] * 10


def test_other_strokes_leave_the_picture_in_range_and_change_most_photos(photos: Photos) -> None:
    images = pixels(photos, torch.arange(64))
    changed = restyle(images, torch.Generator().manual_seed(0))
    assert changed.abs().max() <= 1.2
    assert ((changed - images).abs().mean((1, 2, 3)) > 0.02).float().mean() > 0.5


def test_training_runs_and_keeps_only_the_evaluator(photos: Photos, tmp_path: Path) -> None:
    trained = training.train(FLAT, photos, tmp_path, Schedule(steps=1, learning_rate=1e-3))
    assert trained.embed(pixels(photos, torch.arange(2))).shape == (2, 128)
    assert not any("traits" in name for name in trained.state_dict())

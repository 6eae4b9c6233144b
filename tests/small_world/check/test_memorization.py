"""What tells a base that recites its corpus: photos of the corpus are found again, and unseen photos are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from small_world.base_pictures import above_nearest, beside
from small_world.check.memorization import decoded, losses, nearest, nearness
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.sheet import COLUMNS, sheet
from small_world.world.photos import Photos as FlatPhotos
from small_world.world.photos import draw_split
from small_world.world.splits import CORPUS
from small_world.world3d.photos import Photos
from small_world.worlds import FLAT, WORLD_3D


def take(photos: Photos, rows: range) -> Photos:
    return Photos(**{name: value[list(rows)] for name, value in vars(photos).items()})


def recite(photos: Photos, rows: list[int]) -> torch.Tensor:
    """Photos, mirrored and a little noisy."""
    images = pixels(photos, torch.tensor(rows)).flip(3)
    return images + 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def test_recited_photos_are_found_though_they_are_mirrored(few: Photos) -> None:
    found = nearest(recite(few, [4, 1]), few, mirrored=True)
    assert found.rows.tolist() == [4, 1] and found.mirrored.all()
    assert (found.distances[:, 0] < 3).all() and (found.distances[:, 1] > 10).all()
    assert (nearest(recite(few, [4, 1]), few, mirrored=False).distances[:, 0] > 10).all()
    plain = nearest(pixels(few, torch.tensor([2])), few, mirrored=True)
    assert (plain.rows.item(), plain.mirrored.item()) == (2, False)


def test_a_base_that_recites_is_nearer_than_unseen_photos(few: Photos) -> None:
    corpus, unseen = take(few, range(6)), pixels(few, torch.tensor([6, 7]))
    figures = nearness(recite(few, [0, 3]), unseen, corpus, WORLD_3D)
    assert figures["distance of samples / that of held-out photos, medians"] < 0.2
    told = ": nearest photo less than a third as far as the second (%)"
    assert (figures[f"samples{told}"], figures[f"held-out photos{told}"]) == (100, 0)
    assert nearness(unseen, unseen, corpus, WORLD_3D)["distance of samples / that of held-out photos, medians"] == 1


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> FlatPhotos:
    return draw_split(replace(CORPUS, seed=990, people=4, photos=8), tmp_path_factory.mktemp("flat"))


def test_the_loss_is_lower_with_less_left_to_guess(flat: FlatPhotos) -> None:
    pipe = load_small_sdxl()
    told = losses(pipe, flat, FLAT, 16)
    assert told.shape == (4,) and (told.diff() < 0).all(), "ε is the easier to tell, the more there is of it"
    order = np.random.default_rng(0).permutation(len(flat))
    others = replace(flat, labels=flat.labels[order])
    assert losses(pipe, others, FLAT, 16)[-1] > 1.05 * told[-1], "captions tell something"


def test_sheets_have_samples_beside_and_above_photos(flat: FlatPhotos) -> None:
    images = pixels(flat, torch.arange(16))
    black = torch.full_like(images, -1)
    rows = beside(flat, {"one": lambda prompts, _: images[: len(prompts)], "two": lambda _, __: black}, FLAT)
    assert torch.equal(rows[COLUMNS : 2 * COLUMNS], images[:COLUMNS])
    assert sheet(rows).size == (COLUMNS * 64, 6 * 64)
    vae = load_small_sdxl().vae
    pictures = above_nearest(flat, flat, lambda _, __: pixels(flat, torch.arange(32)), vae, FLAT)
    assert torch.equal(pictures[:COLUMNS], pictures[COLUMNS : 2 * COLUMNS]), "each is its own nearest"
    below = pictures[3 * COLUMNS :]
    assert torch.allclose(pictures[2 * COLUMNS : 3 * COLUMNS], decoded(vae, below), atol=1e-4)

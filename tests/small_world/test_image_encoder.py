"""The image encoder that sees bodies: what it sees, where it is found, and how it is trained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bolid_data import weights
from bolid_data.manifest import Train
from bolid_train.data.features.reference import ReferenceEmbedding
from bolid_train.diffusion.base import CLIP_BODIES, IMAGE_ENCODERS, Base
from bolid_train.diffusion.clip import load_clip
from small_world.check.image_encoder import embed, figures
from small_world.clip import build_clip, image_encoder_of
from small_world.training.image_encoder import SCHEDULES, Learner, Seeing, save, train
from small_world.training.loop import Schedule
from small_world.world import photos as flat
from small_world.world.splits import HELD_OUT
from small_world.world3d.photos import Photos
from small_world.worlds import FLAT, WORLD_3D, WORLDS


@pytest.fixture(scope="module")
def photos() -> flat.Photos:
    return flat.draw_split(replace(HELD_OUT, people=50))


def test_it_tells_bodies_apart_that_clip_0_does_not(photos: flat.Photos) -> None:
    found = figures(*embed(photos, weights.find(CLIP_BODIES).path, load_clip("clip-0")), photos)
    assert found["AUC, one photo against one"] > 0.7
    assert found["AUC, the same by clip-0"] < 0.55
    assert found["cosine to clip-0"] > 0.6


def test_a_manifest_names_it_and_the_base_is_otherwise_its_own(tmp_path: Path) -> None:
    own, seeing = (Base.resolve(Train(image_encoder=name), tmp_path) for name in (None, CLIP_BODIES))
    assert seeing.image_encoder == weights.find(CLIP_BODIES).path
    reference = ReferenceEmbedding(Train())
    assert seeing.folder == own.folder and reference.key(seeing) != reference.key(own)
    assert seeing.pipeline(torch.device("cpu"), unet=None).image_encoder.dtype == torch.float32


def test_those_of_all_worlds_can_be_named() -> None:
    assert set(IMAGE_ENCODERS) == {world.model(CLIP_BODIES) for world in WORLDS.values()}
    assert set(SCHEDULES) == set(WORLDS)


def test_the_losses_of_the_first_steps_are_those_that_the_committed_weights_were_trained_with(
    photos: flat.Photos, tmp_path: Path
) -> None:
    train(load_clip("clip-0"), photos, tmp_path, replace(SCHEDULES[FLAT.name], steps=2, report_every=1))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    before = {"clip": [0.13950, 0.16854], "joints": [1.59403, 1.60863], "within": [2.26843, 2.24302],
              "places": [5.50426, 5.39675], "body": [1.42413, 1.71369], "contrast": [6.01716, 5.99510]}  # fmt: skip
    for name, losses in before.items():
        assert [line[name] for line in lines] == pytest.approx(losses, rel=2e-3)


def test_a_step_trains_it_on_plain_photos_and_on_views(few: Photos, tmp_path: Path) -> None:
    torch.manual_seed(0)
    clip = build_clip(32, 2, 1, WORLD_3D)
    before = image_encoder_of(clip).state_dict()
    encoder = train(clip, few, tmp_path / "work", Schedule(1, 1e-3, warmup=1, ema=0.5), WORLD_3D)
    trained = encoder.state_dict()
    moved = [name for name, value in trained.items() if not torch.equal(value, before[name])]
    assert len(moved) > 0.9 * len(trained)
    save(encoder, clip, tmp_path / "saved")
    embeds, said = embed(few, tmp_path / "saved", clip)
    assert embeds.shape == said.shape == (len(few), 128)
    assert not torch.allclose(embeds, said, atol=1e-3)


def test_the_loss_is_made_of_all_that_it_says(photos: flat.Photos) -> None:
    clip = load_clip("clip-0")
    learner = Learner(image_encoder_of(clip), len(FLAT.body))
    terms = Seeing(learner, clip, photos)(torch.Generator().manual_seed(0))
    assert set(terms) == {"clip", "joints", "within", "places", "body", "contrast"}
    assert all(bool(term.isfinite()) and term > 0 for term in terms.values())
    assert terms["clip"] < 0.5, "it starts as clip-0 itself, though half of its photos are weighted"

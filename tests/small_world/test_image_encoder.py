"""The image encoder that sees bodies: what it sees, where it is found, and how it is trained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModelWithProjection

from bolid_data import weights
from bolid_data.manifest import Train
from bolid_train.data.features.reference import ReferenceEmbedding
from bolid_train.diffusion.base import CLIP_BODIES, Base
from bolid_train.diffusion.clip import load_clip
from small_world.check.image_encoder import embed, figures
from small_world.clip import image_encoder_of
from small_world.training.image_encoder import SCHEDULE, Learner, Seeing, save, train
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=50))


def test_it_tells_bodies_apart_that_clip_0_does_not(photos: Photos) -> None:
    found = figures(*embed(photos), photos)
    assert found["AUC, one photo against one"] > 0.7
    assert found["AUC, the same by clip-0"] < 0.55
    assert found["cosine to clip-0"] > 0.6


def test_a_manifest_names_it_and_the_base_is_otherwise_its_own(tmp_path: Path) -> None:
    own, seeing = (Base.resolve(Train(image_encoder=name), tmp_path) for name in (None, CLIP_BODIES))
    assert seeing.image_encoder == weights.find(CLIP_BODIES).path
    reference = ReferenceEmbedding(Train())
    assert seeing.folder == own.folder and reference.key(seeing) != reference.key(own)
    assert seeing.pipeline(torch.device("cpu"), unet=None).image_encoder.dtype == torch.float32


def test_a_step_trains_it_on_plain_photos_and_on_views(photos: Photos, tmp_path: Path) -> None:
    encoder = train(photos, tmp_path / "work", replace(SCHEDULE, steps=1, warmup=1, ema=0.5))
    before = image_encoder_of(load_clip("clip-0")).state_dict()
    moved = [name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])]
    assert len(moved) > 50
    save(encoder, tmp_path / "saved")
    again = CLIPVisionModelWithProjection.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert again.config.projection_dim == 128


def test_the_loss_is_made_of_all_that_it_says(photos: Photos) -> None:
    terms = Seeing(Learner(image_encoder_of(load_clip("clip-0"))), photos)(torch.Generator().manual_seed(0))
    assert set(terms) == {"clip", "joints", "within", "places", "traits", "contrast"}
    assert all(bool(term.isfinite()) and term > 0 for term in terms.values())
    assert terms["clip"] < 0.5, "it starts as clip-0 itself, though half of its photos are weighted"

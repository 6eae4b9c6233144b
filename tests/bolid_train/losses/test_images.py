"""L_id and L_CLIP on pictures, through the real chain: the small SDXL, its decoder, the keypoint network and clip-0."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor, nn

from bolid_data.manifest import ObjectiveSettings, Train
from bolid_train.data.batch import Batch, Views
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import load_clip
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.losses import ImageLosses
from bolid_train.methods.layers.branches import Branches
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.sdxl import FOLDER
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT
from tests.support.drawn_batches import drawn_proportions

CPU = torch.device("cpu")
BASE = Base.at("small-sdxl", FOLDER)
ALL: dict[str, Any] = {
    "identity": 1.0, "clip_text": 1.0, "clip_style": 1.0, "share": 1.0, "detector": "tiny-keypoints",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=4))


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionXLPipeline:
    return load_small_sdxl()


@pytest.fixture(scope="module")
@torch.no_grad()
def batch(photos: Photos, pipe: StableDiffusionXLPipeline) -> Batch:
    """Four drawn people, each in the photo that shows most of them, as the feature cache would give them."""
    shown = (photos.keypoints[..., 2] > 0).sum(axis=1)
    rows = [int((shown * (photos.people == person)).argmax()) for person in np.unique(photos.people)]
    images = pixels(photos, torch.tensor(rows))
    embeds, _, pooled, _ = pipe.encode_prompt([str(photos.caption(row)) for row in rows], None, CPU, 1, False)
    keypoints = torch.from_numpy(photos.keypoints[rows]).float()
    clip = load_clip("clip-0")
    fractions = keypoints / torch.tensor([64.0, 64.0, 1.0])
    latents = pipe.vae.encode(images).latent_dist.mean * pipe.vae.config.scaling_factor
    return Batch(
        latents,
        fractions,
        embeds,
        pooled,
        torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(4, -1),
        Views.none(4),
        RowRandom([5, 6, 7, 8]),
        {
            "clip_texts": clip.embed_texts([str(photos.caption(row)) for row in rows]),
            "clip_references": clip.embed_images(images),
        },
        reference_keypoints=fractions,
        proportions=drawn_proportions(keypoints[:, None]),
    )


def _inputs(batch: Batch) -> UNetInputs:
    return UNetInputs(batch.prompt_embeds, {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.time_ids})


def _chain(**objective: Any) -> tuple[Denoiser, ImageLosses]:
    settings = Train(objective=ObjectiveSettings(**ALL | objective))
    losses = ImageLosses.from_settings(BASE, settings, CPU)
    assert losses
    return Denoiser.from_settings(BASE, settings, CPU), losses


@pytest.mark.parametrize("pictures", ["one-step", "lightning"])
def test_every_term_teaches_the_adapter_and_changes_nothing_that_is_frozen(batch: Batch, pictures: str) -> None:
    denoiser, losses = _chain(pictures=pictures)
    adapter = Branches(denoiser.unet, {"ref": 8}, zero_tokens=True)
    batch = batch.select(slice(1))
    inputs = _inputs(batch)
    inputs.added_cond_kwargs["image_embeds"] = [torch.ones(1, 1, 8)]
    trained = list(adapter.trained_parameters())
    assert losses._clip and isinstance(losses._detector, nn.Module)
    frozen = [losses._vae, losses._detector, losses._clip.model]
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in frozen]
    terms = losses(denoiser, inputs, batch)
    assert sorted(terms) == ["clip_style", "clip_text", "identity"]
    for term in terms.values():
        gradients = torch.autograd.grad(term, trained, retain_graph=True)
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
    torch.stack(list(terms.values())).sum().backward()
    for part, was in zip(frozen, before, strict=True):
        assert all(value.grad is None for value in part.parameters())
        assert all(torch.equal(value, was[name]) for name, value in part.state_dict().items())
    own = {id(value) for value in trained}
    assert all(value.grad is None for value in denoiser.unet.parameters() if id(value) not in own)


@pytest.mark.parametrize("form", ["absolute", "proportions", "retargeted"])
def test_a_decoded_photo_costs_less_with_its_own_person_than_with_another(batch: Batch, form: str) -> None:
    _, losses = _chain(identity_form=form)
    assert batch.reference_keypoints is not None and batch.proportions is not None
    other = replace(
        batch,
        reference_keypoints=batch.reference_keypoints.roll(1, 0),
        proportions=replace(batch.proportions, person=batch.proportions.person.roll(1, 0)),
    )
    with torch.no_grad():
        pictures = losses.decode(batch.latents)
        own, others = losses._identity(pictures, batch), losses._identity(pictures, other)
    assert own.mean() < 0.7 * others.mean()


def test_the_picture_of_a_caption_is_closer_to_it_than_to_other_captions(batch: Batch) -> None:
    denoiser, losses = _chain(identity=0.0, max_timestep=100)
    other = replace(batch, features={name: values.roll(1, 0) for name, values in batch.features.items()})
    with torch.no_grad():
        own, others = (losses(denoiser, _inputs(batch), rows) for rows in (batch, other))
    assert "identity" not in own
    assert own["clip_text"] < others["clip_text"] and own["clip_style"] < others["clip_style"]


def test_the_parts_of_a_batch_have_the_losses_of_the_whole(batch: Batch) -> None:
    denoiser, losses = _chain(share=0.5, identity_form="proportions")
    parts = [slice(part, None, 2) for part in range(2)]  # as the trainer deals rows out to processes
    with torch.no_grad():
        whole = losses(denoiser, _inputs(batch), batch)
        halves = [losses(denoiser, _inputs(batch).rows(part), batch.select(part)) for part in parts]
    for name, value in whole.items():
        assert value.item() == pytest.approx((halves[0][name] + halves[1][name]).item() / 2, rel=1e-4)


@pytest.mark.parametrize(("share", "rows"), [(0.25, 1), (0.3, 2), (1.0, 4)])
def test_pictures_are_made_of_the_share_of_rows_that_the_settings_say(batch: Batch, share: float, rows: int) -> None:
    denoiser, losses = _chain(share=share)
    seen: list[Tensor] = []
    denoiser.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        losses(denoiser, _inputs(batch), batch)
    assert [len(noisy) for noisy in seen] == [rows]


def test_weights_scale_their_terms_and_without_any_there_are_no_pictures(batch: Batch) -> None:
    with torch.no_grad():
        (once, twice) = (
            losses(denoiser, _inputs(batch), batch)
            for denoiser, losses in (_chain(clip_style=0.0), _chain(identity=2.0, clip_text=3.0, clip_style=0.0))
        )
    assert twice["identity"].item() == pytest.approx(2 * once["identity"].item(), rel=1e-4)
    assert twice["clip_text"].item() == pytest.approx(3 * once["clip_text"].item(), rel=1e-4)
    assert sorted(once) == ["clip_text", "identity"]
    assert ImageLosses.from_settings(BASE, Train(), CPU) is None


def test_following_the_gradient_lowers_the_loss_also_in_bfloat16(batch: Batch) -> None:
    denoiser, losses = _chain(identity_form="proportions", clip_style=0.0, clip_text=0.0, share=0.5)
    inputs = _inputs(batch)
    text = inputs.encoder_hidden_states.clone().requires_grad_()
    assert batch.proportions is not None
    other = replace(batch, proportions=replace(batch.proportions, person=batch.proportions.person.roll(1, 0)))
    values = []
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            terms = losses(denoiser, replace(inputs, encoder_hidden_states=text), other)
        (gradient,) = torch.autograd.grad(terms["identity"], text)
        values.append(terms["identity"].item())
        text = (text - 0.5 * values[-1] * gradient / gradient.square().sum()).detach().requires_grad_()
    assert values[1] < 0.9 * values[0]

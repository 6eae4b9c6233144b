"""Batches of random numbers and methods on the random base: what is asked of a method's wiring needs no photos."""

import copy
from functools import cache

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, Views
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.protocol import Method
from bolid_train.methods.registry import METHODS
from tests.support.small_base import small_base

REF_DIM = 64


def drawn_batch(rows: int = 3, views: int = 2, seed: int = 0, step: int = 1000) -> Batch:
    """A batch for the small base, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    def keypoints(*shape: int) -> torch.Tensor:
        places = torch.rand(*shape, 17, 2, generator=generator)
        return torch.cat([places, torch.ones(*shape, 17, 1)], dim=-1)

    views = Views(
        normal(rows, views, REF_DIM),
        normal(rows, views, 4, 16, 16),
        keypoints(rows, views),
        torch.full((rows, views, 2), 64.0),
        torch.full((rows, views), 0.9),
    )
    return Batch(
        latents=normal(rows, 4, 16, 16),
        keypoints=keypoints(rows),
        prompt_embeds=normal(rows, 7, 80),
        pooled_prompt_embeds=normal(rows, 48),
        time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(rows, -1),
        image_embeds=normal(rows, REF_DIM),
        views=views,
        random=RowRandom(range(1000 * seed, 1000 * seed + rows)),
        person_keypoints=keypoints(rows, 5),
        step=step,
    )


def drawn_unet() -> UNet2DConditionModel:
    """The small base's UNet, frozen."""
    return copy.deepcopy(_unet())


@cache
def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(small_base(), subfolder="unet").requires_grad_(False)


def installed(name: str, **settings: object) -> tuple[Method, UNet2DConditionModel]:
    """A method on a UNet of its own; the weights that it starts with are the same every time."""
    unet = drawn_unet()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = METHODS[name](Train(method=name, person="anna", body_dim=32, **settings), REF_DIM)
        method.install(unet)
    return method, unet


def fit(method: Method, unet: UNet2DConditionModel, batch: Batch, steps: int) -> list[float]:
    """The losses of some steps on one batch."""
    denoiser = Denoiser(unet, DDPMScheduler.from_pretrained(small_base(), subfolder="scheduler"))
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        loss = denoiser.loss(batch.latents, method.condition(batch), batch.random)
        loss = loss + sum(method.losses(denoiser, batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def predict(unet: UNet2DConditionModel, batch: Batch, inputs: UNetInputs) -> torch.Tensor:
    """What the UNet says of the batch's latents."""
    timesteps = torch.full((len(batch),), 500)
    return unet(
        batch.latents,
        timesteps,
        encoder_hidden_states=inputs.encoder_hidden_states,
        added_cond_kwargs=inputs.added_cond_kwargs,
    ).sample


def bare(batch: Batch) -> UNetInputs:
    """What the base alone gets."""
    return UNetInputs(batch.prompt_embeds, {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.time_ids})

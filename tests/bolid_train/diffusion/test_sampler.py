"""Sampling: rows of a batch are pictures of their own, by the stock pipeline's loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionXLControlNetPipeline, StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import Control, UNetInputs
from bolid_train.methods.layers.branches import Branches
from tests.support.small_base import small_base

PROMPTS = ["a person in red", "a tall person at the sea", "a child in a garden"]
SEEDS = [5, 6, 5]


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionXLPipeline:
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def branched() -> StableDiffusionXLPipeline:
    """With an IP-Adapter branch, and no text encoders: prompts are embedded already."""
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False, **texts)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        Branches(pipe.unet, {"body": 16}, zero_tokens=True).scale("body", 1.0)
    return pipe


@torch.no_grad()
def _inputs(pipe: StableDiffusionXLPipeline) -> tuple[UNetInputs, UNetInputs]:
    """With the prompts and without."""
    embeds, negative_embeds, pooled, negative_pooled = pipe.encode_prompt(PROMPTS)
    given, bare = ({"text_embeds": values, "time_ids": torch.zeros(3, 6)} for values in (pooled, negative_pooled))
    return UNetInputs(embeds, given), UNetInputs(negative_embeds, bare)


def _with_bodies(inputs: tuple[UNetInputs, UNetInputs]) -> tuple[UNetInputs, UNetInputs]:
    bodies = torch.randn(3, 1, 16, generator=torch.Generator().manual_seed(0))
    positive, negative = (
        replace(part, added_cond_kwargs=part.added_cond_kwargs | {"image_embeds": [embeds]})
        for part, embeds in zip(inputs, (bodies, torch.zeros_like(bodies)), strict=True)
    )
    return positive, negative


def _pixels(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image, dtype=np.int16) for image in images])


@torch.no_grad()
@pytest.mark.parametrize("guidance", [0.0, 5.0])
def test_a_row_is_what_it_is_alone_whatever_else_is_in_the_batch(
    pipe: StableDiffusionXLPipeline, branched: StableDiffusionXLPipeline, guidance: float
) -> None:
    positive, negative = _with_bodies(_inputs(pipe))
    together = _pixels(sample(branched, positive, negative, 3, guidance, 64, SEEDS))
    for row, seed in enumerate(SEEDS):
        only = slice(row, row + 1)
        (alone,) = _pixels(sample(branched, positive.rows(only), negative.rows(only), 3, guidance, 64, [seed]))
        assert np.abs(together[row] - alone).max() <= 1
    assert len({image.tobytes() for image in together}) == 3


@torch.no_grad()
def test_a_prompt_alone_gives_the_stock_pipelines_picture_in_any_shape(pipe: StableDiffusionXLPipeline) -> None:
    positive, negative = (part.rows(slice(1)) for part in _inputs(pipe))
    (ours,) = sample(pipe, positive, negative, 3, 5.0, (48, 80), [7])
    (stock,) = pipe(
        PROMPTS[0],
        num_inference_steps=3,
        guidance_scale=5.0,
        width=48,
        height=80,
        generator=torch.Generator().manual_seed(7),
    ).images
    assert ours.size == (48, 80)
    assert np.array_equal(np.asarray(ours), np.asarray(stock))


@pytest.fixture(scope="module")
def network(pipe: StableDiffusionXLPipeline) -> ControlNetModel:
    """A ControlNet for the base, with weights that change the image."""
    # Three widths: it shrinks the image by 4, as this base's VAE does.
    network = ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(16, 32, 96))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            block.weight.add_(0.3 * torch.randn(block.weight.shape, generator=generator))
    return network


def _with_control(inputs: UNetInputs, network: ControlNetModel, image: Tensor, scale: float = 1.0) -> UNetInputs:
    tokens, added = inputs.encoder_hidden_states, inputs.added_cond_kwargs
    control = Control(
        network, image, tokens, added["text_embeds"], added["time_ids"], torch.full((len(tokens),), scale)
    )
    return replace(inputs, controls=(control,))


@torch.no_grad()
def test_a_controlnet_gives_the_stock_pipelines_image(
    pipe: StableDiffusionXLPipeline, network: ControlNetModel
) -> None:
    image = torch.rand(1, 3, 64, 64)
    stock = StableDiffusionXLControlNetPipeline(**pipe.components, controlnet=network, add_watermarker=False)
    stock.set_progress_bar_config(disable=True)
    [expected] = stock(
        PROMPTS[0], image=image, num_inference_steps=3, guidance_scale=5.0, controlnet_conditioning_scale=0.7,
        generator=[torch.Generator().manual_seed(SEEDS[0])],
    ).images  # fmt: skip
    ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    parts = []
    for part in _inputs(pipe):
        one = replace(part, added_cond_kwargs=part.added_cond_kwargs | {"time_ids": torch.zeros(3, 6)}).rows(slice(1))
        one = replace(one, added_cond_kwargs=one.added_cond_kwargs | {"time_ids": ids})
        parts.append(_with_control(one, network, image, 0.7))
    [ours] = sample(pipe, *parts, 3, 5.0, 64, SEEDS[:1])
    assert np.abs(np.asarray(ours, np.int16) - np.asarray(expected, np.int16)).max() <= 1
    [plain] = sample(pipe, *(replace(part, controls=()) for part in parts), 3, 5.0, 64, SEEDS[:1])
    assert np.abs(np.asarray(plain, np.int16) - np.asarray(expected, np.int16)).max() > 3


@torch.no_grad()
def test_a_half_of_guidance_without_a_controlnet_gets_nothing_of_it(
    pipe: StableDiffusionXLPipeline, network: ControlNetModel
) -> None:
    positive, negative = _inputs(pipe)
    images = torch.rand(3, 3, 64, 64)
    given = _with_control(positive, network, images)
    nothing = _with_control(negative, network, images, scale=0.0)
    for parts in ((given, negative), (given, nothing)):
        assert np.array_equal(
            _pixels(sample(pipe, *parts, 2, 5.0, 64, SEEDS)), _pixels(sample(pipe, given, nothing, 2, 5.0, 64, SEEDS))
        )
    reverse = _pixels(sample(pipe, positive, _with_control(negative, network, images), 2, 5.0, 64, SEEDS))
    assert np.abs(reverse - _pixels(sample(pipe, positive, negative, 2, 5.0, 64, SEEDS))).max() > 3


@torch.no_grad()
def test_a_controlnet_changes_its_own_rows_alone(pipe: StableDiffusionXLPipeline, network: ControlNetModel) -> None:
    positive, negative = _inputs(pipe)
    images = torch.rand(3, 3, 64, 64)
    given = _with_control(positive, network, images)
    whole = _pixels(sample(pipe, given, negative, 2, 5.0, 64, SEEDS))
    for row, seed in enumerate(SEEDS):
        only = slice(row, row + 1)
        [alone] = _pixels(sample(pipe, given.rows(only), negative.rows(only), 2, 5.0, 64, [seed]))
        assert np.abs(alone - whole[row]).max() <= 1

"""Sampling: rows of a batch are pictures of their own, by the stock pipeline's loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import UNetInputs
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
        Branches(pipe.unet, {"body": 16}).scale("body", 1.0)
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
        (alone,) = _pixels(sample(branched, positive.select(only), negative.select(only), 3, guidance, 64, [seed]))
        assert np.abs(together[row] - alone).max() <= 1
    assert len({image.tobytes() for image in together}) == 3


@torch.no_grad()
def test_a_prompt_alone_gives_the_stock_pipelines_picture_in_any_shape(pipe: StableDiffusionXLPipeline) -> None:
    positive, negative = (part.select(slice(1)) for part in _inputs(pipe))
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


@torch.no_grad()
def test_a_controlnet_sees_the_noise_of_its_own_rows_and_reaches_them_alone(pipe: StableDiffusionXLPipeline) -> None:
    positive, negative = _inputs(pipe)
    plain = _pixels(sample(pipe, positive, negative, 2, 5.0, 64, SEEDS))
    seen: list[tuple[int, int]] = []

    def push(strength: Tensor) -> UNetInputs:
        """Residuals of the middle block in the rows where strength (B,) is not 0."""

        def residuals(noisy: Tensor, timesteps: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
            seen.append((len(noisy), len(timesteps)))
            shapes = [(32, 16), (32, 16), (32, 8), (64, 8), (64, 4), (96, 4)]
            down = tuple(noisy.new_zeros(len(noisy), channels, side, side) for channels, side in shapes)
            return down, strength.view(-1, 1, 1, 1).expand(-1, 96, 4, 4)

        return replace(positive, residuals=residuals)

    still = replace(negative, residuals=push(torch.zeros(3)).residuals)
    pushed = _pixels(sample(pipe, push(torch.tensor([0.0, 5.0, 0.0])), still, 2, 5.0, 64, SEEDS))
    changed = np.abs(pushed - plain).reshape(3, -1).max(axis=1)
    assert set(seen) == {(3, 3)}
    assert changed[1] > 3 and changed[0] <= 1 and changed[2] <= 1

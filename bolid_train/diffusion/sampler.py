"""The stock pipeline's sampling loop with a method's UNet inputs."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_data.progress import bar
from bolid_train.diffusion.unet_inputs import UNetInputs, residuals


def sample(
    pipe: StableDiffusionXLPipeline,
    positive: UNetInputs,
    negative: UNetInputs,
    steps: int,
    guidance: float,
    size: int | tuple[int, int],
    seeds: Sequence[int],
) -> list[Image.Image]:
    """Generates one image per row, row i from noise of `seeds[i]`. `size` is the side, or width and height, in pixels.
    `guidance` of at most 1 means none; `negative` is then unused.

    The loop is the pipeline's own, so that a method that adds nothing gives the stock pipeline's image bit for bit.
    Other rows of the batch change a row only by floating-point noise.
    """
    width, height = (size, size) if isinstance(size, int) else size
    parts = (negative, positive) if guidance > 1 else (positive,)
    hook = pipe.unet.register_forward_pre_hook(_add_conditions(parts), with_kwargs=True)
    try:
        with bar() as progress:
            task = progress.add_task("generating", total=steps)

            def advance(_pipe: Any, _step: int, _timestep: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
                progress.advance(task)
                return tensors

            return pipe(
                prompt_embeds=positive.encoder_hidden_states,
                pooled_prompt_embeds=positive.added_cond_kwargs["text_embeds"],
                negative_prompt_embeds=negative.encoder_hidden_states,
                negative_pooled_prompt_embeds=negative.added_cond_kwargs["text_embeds"],
                num_inference_steps=steps,
                guidance_scale=guidance,
                height=height,
                width=width,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                callback_on_step_end=advance,
            ).images
    finally:
        hook.remove()


def _add_conditions(parts: tuple[UNetInputs, ...]) -> Any:
    """A UNet hook that adds what the pipeline cannot pass for each part of the batch: ControlNets' residuals, what the
    attention processors take, and the branches' embeddings, which the pipeline would repeat for every row, so that each
    row would get those of all."""
    branches = [part.added_cond_kwargs.get("image_embeds") for part in parts]
    embeds = None if branches[0] is None else [torch.cat(rows) for rows in zip(*branches, strict=True)]

    def hook(_unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        noisy, timestep = args
        if embeds is not None:
            kwargs |= {"added_cond_kwargs": kwargs["added_cond_kwargs"] | {"image_embeds": embeds}}
        if parts[-1].cross_attention_kwargs:
            kwargs |= {"cross_attention_kwargs": parts[-1].cross_attention_kwargs}
        return args, kwargs | residuals(parts, noisy, timestep.expand(len(noisy)))

    return hook

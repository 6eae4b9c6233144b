"""The stock pipeline's sampling loop with a method's UNet inputs."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor

from bolid_data.progress import bar
from bolid_train.diffusion.unet_inputs import UNetInputs, residuals

_MAX_PIXELS = 2**20
"""Decoded at once, or one image if that has more, because SDXL's decoder needs gigabytes for one of 1024×1024."""


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
    Other rows of the batch change a row only by floating-point noise. Latents are in float32, whatever the UNet's type.
    """
    width, height = (size, size) if isinstance(size, int) else size
    parts = (negative, positive) if guidance > 1 else (positive,)
    text_steps = max(part.text_steps(steps) for part in parts)
    first = [part.text if text_steps and part.text is not None else part.encoder_hidden_states for part in parts]
    hooks = [
        pipe.unet.register_forward_pre_hook(_add_conditions(parts, pipe.unet.dtype), with_kwargs=True),
        pipe.unet.register_forward_hook(_in_full_precision),
    ]
    try:
        with bar() as progress:
            task = progress.add_task("generating", total=steps)

            def advance(_pipe: Any, step: int, _timestep: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
                progress.advance(task)
                if step + 1 != text_steps:
                    return tensors
                states = torch.cat([part.encoder_hidden_states for part in parts])
                return tensors | {"prompt_embeds": states.to(tensors["prompt_embeds"])}

            latents = pipe(
                prompt_embeds=first[-1].float(),
                pooled_prompt_embeds=positive.added_cond_kwargs["text_embeds"].float(),
                negative_prompt_embeds=first[0].float(),
                negative_pooled_prompt_embeds=negative.added_cond_kwargs["text_embeds"].float(),
                num_inference_steps=steps,
                guidance_scale=guidance,
                height=height,
                width=width,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                callback_on_step_end=advance,
                callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
                output_type="latent",
            ).images
    finally:
        for hook in hooks:
            hook.remove()
    return decode(pipe, latents)


def decode(pipe: StableDiffusionXLPipeline, latents: Tensor) -> list[Image.Image]:
    """Decodes latents (B, C, h, w), scaled for the UNet, a few images at a time."""
    scaled = (latents / pipe.vae.config.scaling_factor).to(pipe.vae.dtype)
    pixels = latents.shape[-2] * latents.shape[-1] * pipe.vae_scale_factor**2
    images: list[Image.Image] = []
    with torch.no_grad():
        for part in scaled.split(max(1, _MAX_PIXELS // pixels)):
            decoded = pipe.vae.decode(part, return_dict=False)[0]
            images += pipe.image_processor.postprocess(decoded.float(), output_type="pil")
    return images


def _add_conditions(parts: tuple[UNetInputs, ...], dtype: torch.dtype) -> Any:
    """A UNet hook that converts its inputs to `dtype`, and adds what the pipeline cannot pass for each part of the
    batch: ControlNets' residuals, what the attention processors take, and the branches' embeddings, which the pipeline
    would repeat for every row, so that each row would get those of all."""
    branches = [part.added_cond_kwargs.get("image_embeds") for part in parts]
    embeds = None if branches[0] is None else [torch.cat(rows) for rows in zip(*branches, strict=True)]

    def hook(
        _unet: UNet2DConditionModel, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        noisy, timestep = args[0].to(dtype), args[1]
        added = kwargs["added_cond_kwargs"]
        added = added | {"text_embeds": added["text_embeds"].to(dtype)}
        if embeds is not None:
            added |= {"image_embeds": embeds}
        kwargs |= {"added_cond_kwargs": added, "encoder_hidden_states": kwargs["encoder_hidden_states"].to(dtype)}
        if parts[-1].cross_attention_kwargs:
            kwargs |= {"cross_attention_kwargs": parts[-1].cross_attention_kwargs}
        return (noisy, timestep), kwargs | residuals(parts, noisy, timestep.expand(len(noisy)))

    return hook


def _in_full_precision(_unet: Any, _args: Any, output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The prediction in float32, in which the scheduler then goes on: rounded in each step, errors would add up."""
    return (output[0].float(), *output[1:])

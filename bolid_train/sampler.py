"""The stock pipeline's sampling loop, fed with what a method gives."""

from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_data.progress import bar
from bolid_train.conditioning.protocol import UNetInputs


def sample(
    pipe: StableDiffusionXLPipeline,
    positive: UNetInputs,
    negative: UNetInputs,
    steps: int,
    guidance: float,
    resolution: int,
    seed: int,
) -> Image.Image:
    """One image of `resolution`² pixels. `guidance` up to 1 means none, and `negative` is not used.

    The loop is the pipeline's own, so that a method that adds nothing gives the bare pipeline's image bit for bit.
    """
    parts = (negative, positive) if guidance > 1 else (positive,)
    hook = pipe.unet.register_forward_pre_hook(_add_residuals(parts), with_kwargs=True)
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
                ip_adapter_image_embeds=_image_embeds(parts),
                num_inference_steps=steps,
                guidance_scale=guidance,
                height=resolution,
                width=resolution,
                generator=torch.Generator("cpu").manual_seed(seed),
                callback_on_step_end=advance,
            ).images[0]
    finally:
        hook.remove()


def _image_embeds(parts: tuple[UNetInputs, ...]) -> list[Tensor] | None:
    """Embeddings of each branch, the negative row first, as the pipeline wants them."""
    branches = [part.added_cond_kwargs.get("image_embeds") for part in parts]
    return None if branches[0] is None else [torch.cat(rows) for rows in zip(*branches, strict=True)]


def _add_residuals(parts: tuple[UNetInputs, ...]) -> Any:
    """A hook on the UNet that adds what a method's ControlNet says of each part of the batch."""

    def hook(
        _unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if parts[0].residuals is None:
            return None
        noisy, timestep = args
        found = [
            part.residuals(rows, timestep.expand(len(rows)))
            for part, rows in zip(parts, noisy.chunk(len(parts)), strict=True)
            if part.residuals
        ]
        down = tuple(torch.cat(blocks) for blocks in zip(*(residuals[0] for residuals in found), strict=True))
        middle = torch.cat([residuals[1] for residuals in found])
        return args, kwargs | {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }

    return hook

"""The UNet's inputs besides noisy latents and timesteps: made by a method, used by the denoiser and the sampler."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers import ControlNetModel
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class Control:
    """A ControlNet (Zhang et al. 2023) and its inputs for B rows."""

    network: ControlNetModel
    image: Tensor  # (B, 3, H, W) in 0..1, in pixels of the image to generate
    tokens: Tensor  # (B, L, D_text): the prompt's embeddings, or other tokens (InstantID: the face's)
    pooled: Tensor  # (B, D_pooled)
    time_ids: Tensor  # (B, 6)
    scale: Tensor  # (B,): weight of the residuals; 0 adds nothing
    mask: Tensor | None = None  # (1, 1, H, W) in 0..1: where in the image it adds something; everywhere without one

    def rows(self, rows: slice) -> "Control":
        """The given rows."""
        tensors = {name: getattr(self, name)[rows] for name in ("image", "tokens", "pooled", "time_ids", "scale")}
        return replace(self, **tensors)

    def drop(self, rows: Tensor | None = None) -> "Control":
        """Adds nothing in some rows (bool (B,)), or in all."""
        return replace(self, scale=torch.zeros_like(self.scale) if rows is None else self.scale.masked_fill(rows, 0))

    def residuals(self, noisy: Tensor, timesteps: Tensor) -> tuple[list[Tensor], Tensor]:
        """What is added to the UNet's down blocks and its middle block, at `noisy` (B, C, h, w) and `timesteps`."""
        dtype = self.network.dtype
        # A network that is trained is in float32, and computes in the UNet's type.
        mixed = nullcontext() if dtype == noisy.dtype else torch.autocast(noisy.device.type, noisy.dtype)
        with mixed:
            down, middle = self.network(
                noisy.to(dtype),
                timesteps,
                encoder_hidden_states=self.tokens.to(dtype),
                controlnet_cond=self.image.to(dtype),
                conditioning_scale=self.scale.view(-1, 1, 1, 1).to(dtype),
                added_cond_kwargs={"text_embeds": self.pooled.to(dtype), "time_ids": self.time_ids},
                return_dict=False,
            )
        return [self._inside(block.to(noisy.dtype)) for block in down], self._inside(middle.to(noisy.dtype))

    def _inside(self, block: Tensor) -> Tensor:
        """A residual (B, C, h, w), only inside the mask."""
        if self.mask is None:
            return block
        return block * interpolate(self.mask.to(block), block.shape[2:], mode="nearest")


@dataclass(frozen=True)
class UNetInputs:
    """The UNet's inputs besides noisy latents and timesteps, of B rows."""

    encoder_hidden_states: Tensor  # (B, L, D_text): the prompt's embeddings, or a method's replacement
    added_cond_kwargs: dict[str, Any]  # text_embeds (B, D_pooled), time_ids (B, 6), image_embeds: list of (B, P, D)
    cross_attention_kwargs: dict[str, Any] = field(default_factory=dict)
    """For the attention processors, the same for all rows. `ip_adapter_masks`: one (1, P, H, W) per branch."""
    controls: tuple[Control, ...] = ()
    text: Tensor | None = None
    """(B, L, D_text): the prompt without the person, if `encoder_hidden_states` holds both."""
    text_share: float = 0.0
    """The share of a generation's steps, the first ones, in which the UNet gets `text` instead."""

    def text_steps(self, steps: int) -> int:
        """How many of a generation's steps those are: the public code of PhotoMaker compares the step's number, from 0,
        with ⌊share · steps⌋, and takes the text alone while it is not larger."""
        return 0 if self.text is None or not self.text_share else min(steps, int(self.text_share * steps) + 1)

    def to(self, dtype: torch.dtype) -> "UNetInputs":
        """The text in the UNet's type; embeddings and ids stay as they are, and are converted where they are used."""
        added = self.added_cond_kwargs | {"text_embeds": self.added_cond_kwargs["text_embeds"].to(dtype)}
        states, text = self.encoder_hidden_states.to(dtype), self.text if self.text is None else self.text.to(dtype)
        return replace(self, encoder_hidden_states=states, added_cond_kwargs=added, text=text)

    def rows(self, rows: slice) -> "UNetInputs":
        """The given rows."""
        added = {
            name: [part[rows] for part in value] if isinstance(value, list) else value[rows]
            for name, value in self.added_cond_kwargs.items()
        }
        controls = tuple(control.rows(rows) for control in self.controls)
        states, text = self.encoder_hidden_states[rows], self.text if self.text is None else self.text[rows]
        return replace(self, encoder_hidden_states=states, added_cond_kwargs=added, controls=controls, text=text)


def residuals(parts: Sequence[UNetInputs], noisy: Tensor, timesteps: Tensor) -> dict[str, Any]:
    """The UNet's arguments for what ControlNets add to it.

    Args:
        parts: the inputs of consecutive rows of the batch, such as the two halves of guidance. Those without a
            ControlNet get zeros.
        noisy: (B, C, h, w), all rows. timesteps: (B,).
    """
    if not any(part.controls for part in parts):
        return {}
    counts = [len(part.encoder_hidden_states) for part in parts]
    blocks_of_parts = [
        _sums(part.controls, noisy_rows, rows)
        for part, noisy_rows, rows in zip(parts, noisy.split(counts), timesteps.split(counts), strict=True)
    ]
    some = next(blocks for blocks in blocks_of_parts if blocks)
    zeros = [[block.new_zeros(count, *block.shape[1:]) for block in some] for count in counts]
    filled = [blocks or nothing for blocks, nothing in zip(blocks_of_parts, zeros, strict=True)]
    *down, middle = (torch.cat(blocks) for blocks in zip(*filled, strict=True))
    return {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}


def _sums(controls: Sequence[Control], noisy: Tensor, timesteps: Tensor) -> list[Tensor]:
    """The sums of the ControlNets' residuals: those of the down blocks, then of the middle block; none without any."""
    outputs = [control.residuals(noisy, timesteps) for control in controls]
    return [torch.stack(blocks).sum(0) for blocks in zip(*([*down, middle] for down, middle in outputs), strict=True)]

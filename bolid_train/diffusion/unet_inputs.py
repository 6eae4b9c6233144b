"""The UNet's inputs besides noisy latents and timesteps: made by a method, used by the denoiser and the sampler."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

Residuals = Callable[[Tensor, Tensor], tuple[tuple[Tensor, ...], Tensor]]
"""(noisy latents (B, C, h, w), timesteps (B,)) → a ControlNet's residuals for the down blocks and the middle block."""


@dataclass(frozen=True)
class UNetInputs:
    """The UNet's inputs besides noisy latents and timesteps."""

    encoder_hidden_states: Tensor  # (B, L, D_text): the prompt's embeddings, or a method's replacement
    added_cond_kwargs: dict[str, Any]  # text_embeds (B, D_pooled), time_ids (B, 6), image_embeds: list of (B, 1, D)
    residuals: Residuals | None = None  # a function, because a ControlNet takes the noisy latents

    def select(self, rows: slice) -> "UNetInputs":
        """The given rows; not for inputs with residuals, which are computed for all rows."""
        added = {
            name: [part[rows] for part in value] if isinstance(value, list) else value[rows]
            for name, value in self.added_cond_kwargs.items()
        }
        return replace(self, encoder_hidden_states=self.encoder_hidden_states[rows], added_cond_kwargs=added)

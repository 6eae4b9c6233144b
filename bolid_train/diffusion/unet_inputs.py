"""What the UNet gets besides the noisy latents and the timesteps: a method makes it, the denoiser and the sampler take
it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

Residuals = Callable[[Tensor, Tensor], tuple[tuple[Tensor, ...], Tensor]]
"""(noisy latents (B, C, h, w), timesteps (B,)) → a ControlNet's residuals of the down blocks and of the
middle block."""


@dataclass(frozen=True)
class UNetInputs:
    """What the UNet gets besides the noisy latents and the timesteps."""

    encoder_hidden_states: Tensor  # (B, L, D_text): the prompt's embeddings, or what a method puts in their place
    added_cond_kwargs: dict[str, Any]  # text_embeds (B, D_pooled), time_ids (B, 6), image_embeds: list of (B, 1, D)
    residuals: Residuals | None = None  # a function, for a ControlNet sees the noisy latents

    def rows(self, chosen: slice) -> "UNetInputs":
        """Some of the rows; not for inputs with residuals, whose function is of all rows."""
        added = {
            name: [part[chosen] for part in value] if isinstance(value, list) else value[chosen]
            for name, value in self.added_cond_kwargs.items()
        }
        return replace(self, encoder_hidden_states=self.encoder_hidden_states[chosen], added_cond_kwargs=added)

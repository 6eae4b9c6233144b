"""The base with the prompt alone: the baseline of adapters, and the base class of methods."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.protocol import Condition

if TYPE_CHECKING:
    from bolid_train.diffusion.denoiser import Denoiser


class TextOnly:
    """Method `text`: preserves no identity, trains nothing and writes nothing."""

    def __init__(self, settings: Train, ref_dim: int) -> None:
        self.settings = settings

    def install(self, unet: UNet2DConditionModel) -> None:
        """Nothing is added."""

    def condition(self, batch: Batch) -> UNetInputs:
        return UNetInputs(batch.prompt_embeds, {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.time_ids})

    def drop(self, inputs: UNetInputs, condition: Condition, rows: Tensor | None = None) -> UNetInputs:
        """Sets the text to zeros, like the stock pipeline's negative prompt."""
        if condition != "text":
            return inputs
        added = inputs.added_cond_kwargs
        return replace(
            inputs,
            encoder_hidden_states=zeroed(inputs.encoder_hidden_states, rows),
            added_cond_kwargs=added | {"text_embeds": zeroed(added["text_embeds"], rows)},
        )

    def scale(self, condition: Condition, weight: float) -> None:
        """There is nothing to scale."""

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        raise UsageError(f"method '{self.settings.method}' has no body to blend; use a run of method bolid")

    def losses(self, denoiser: "Denoiser", batch: Batch) -> dict[str, Tensor]:
        return {}

    def parameters(self) -> Iterable[nn.Parameter]:
        return ()

    def prepare(self, batches: Callable[[int], Batch]) -> None:
        pass

    def finish(self, batches: Callable[[int], Batch]) -> None:
        """Nothing follows."""

    def save(self, folder: Path) -> dict[str, str]:
        return {}

    def load(self, folder: Path) -> None:
        """Nothing was written."""


def zeroed(values: Tensor, rows: Tensor | None) -> Tensor:
    """Values (B, …) with zeros in some rows (bool (B,)), or in all."""
    if rows is None:
        return torch.zeros_like(values)
    return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0)

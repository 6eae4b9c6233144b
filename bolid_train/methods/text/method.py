"""The base with the prompt alone: the baseline of adapters, and the base class of methods."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.unet_inputs import UNetInputs


class TextOnly:
    """Method `text`: preserves no identity, trains nothing and writes nothing."""

    def __init__(self, settings: Train) -> None:
        self.settings = settings

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        """Nothing is added."""

    def condition(self, batch: Batch) -> tuple[UNetInputs, Any]:
        added = {"text_embeds": batch.pooled_prompt_embeds, "time_ids": batch.time_ids}
        return UNetInputs(batch.prompt_embeds, added), None

    def drop(self, inputs: UNetInputs, condition: str, rows: Tensor | None = None) -> UNetInputs:
        """Sets the text to zeros, like the stock pipeline's negative prompt."""
        if condition != "text":
            return inputs
        added = inputs.added_cond_kwargs
        return replace(
            inputs,
            encoder_hidden_states=zeroed(inputs.encoder_hidden_states, rows),
            added_cond_kwargs=added | {"text_embeds": zeroed(added["text_embeds"], rows)},
        )

    def scale(self, name: str, weight: float) -> None:
        """There is nothing to scale."""

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        raise UsageError(f"method '{self.settings.method}' has no body to blend; use a run of a method that has one")

    def place(self, inputs: UNetInputs, masks: Tensor) -> UNetInputs:
        raise UsageError(
            f"method '{self.settings.method}' cannot place people in boxes; use a run of a method with branches"
        )

    def losses(self, denoiser: Denoiser, batch: Batch, state: Any) -> dict[str, Tensor]:
        return {}

    def loss_weights(self, batch: Batch) -> Tensor | None:
        return None

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

    def freeze(self) -> None:
        """Nothing has to change."""

    def load_public(self, path: Path) -> None:
        raise UsageError(f"method '{self.settings.method}' cannot start from a published file")


def zeroed(values: Tensor, rows: Tensor | None) -> Tensor:
    """Values (B, …) with zeros in some rows (bool (B,)), or in all."""
    if rows is None:
        return torch.zeros_like(values)
    return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0)

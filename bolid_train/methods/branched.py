"""The base class of methods with IP-Adapter branches, which differ in their branches and the embeddings these get."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_train.data.batch import Batch
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.files import load_weights, write_safetensors
from bolid_train.methods.layers.branches import Branches
from bolid_train.methods.protocol import Condition
from bolid_train.methods.text import TextOnly, zeroed


class BranchedMethod(TextOnly):
    """Subclasses define the width of each branch's embedding, by condition, and the embeddings of a batch."""

    widths: dict[Condition, int]
    encoder: nn.Module | None = None
    """Encodes views to bodies; trained with the branches."""

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        """(B, width) for each of `widths`, in order."""
        raise NotImplementedError

    def install(self, unet: UNet2DConditionModel) -> None:
        self.branches = Branches(unet, self.widths)
        if self.encoder is not None:
            self.encoder.to(unet.device)

    def condition(self, batch: Batch) -> UNetInputs:
        inputs = super().condition(batch)
        return _with_embeds(inputs, [embeds[:, None] for embeds in self.embeddings(batch)])

    def drop(self, inputs: UNetInputs, condition: Condition, rows: Tensor | None = None) -> UNetInputs:
        """Sets the condition to zeros, like the stock pipeline's negative prompt and negative image embedding."""
        if condition not in self.widths:
            return super().drop(inputs, condition, rows)
        return self._change(inputs, condition, lambda embeds: zeroed(embeds, rows))

    def scale(self, condition: Condition, weight: float) -> None:
        if condition in self.widths:
            self.branches.scale(condition, weight)

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        if "body" not in self.widths:
            return super().blend(first, second, weight)
        second_body = second.added_cond_kwargs["image_embeds"][list(self.widths).index("body")]
        return self._change(first, "body", lambda embeds: torch.lerp(embeds, second_body, weight))

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from self.branches.parameters()
        if self.encoder is not None:
            yield from self.encoder.parameters()

    def save(self, folder: Path) -> dict[str, str]:
        kinds = {}
        for name in self.widths:
            self.branches.save(name, folder / f"{name}.safetensors")
            kinds[f"{name}.safetensors"] = "ip-adapter"
        if self.encoder is not None:
            write_safetensors(self.encoder.state_dict(), folder / "encoder.safetensors")
            kinds["encoder.safetensors"] = "body-encoder"
        return kinds

    def load(self, folder: Path) -> None:
        for name in self.widths:
            self.branches.load(name, folder / f"{name}.safetensors")
        if self.encoder is not None:
            load_weights(self.encoder, folder / "encoder.safetensors")

    def _change(self, inputs: UNetInputs, condition: Condition, change: Callable[[Tensor], Tensor]) -> UNetInputs:
        embeds = list(inputs.added_cond_kwargs["image_embeds"])
        number = list(self.widths).index(condition)
        embeds[number] = change(embeds[number])
        return _with_embeds(inputs, embeds)


def _with_embeds(inputs: UNetInputs, embeds: list[Tensor]) -> UNetInputs:
    return replace(inputs, added_cond_kwargs=inputs.added_cond_kwargs | {"image_embeds": embeds})

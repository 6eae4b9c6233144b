"""The base class of methods with IP-Adapter branches, which differ in their branches and the embeddings these get."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.files import load_weights, write_safetensors
from bolid_train.methods.layers.branches import Branches
from bolid_train.methods.text.method import TextOnly, zeroed
from bolid_train.settings import BranchSettings


class BranchedMethod(TextOnly):
    """Subclasses define the branches, and their embeddings of a batch."""

    encoder: nn.Module | None = None
    """Encodes views to bodies; trained with the branches."""

    def __init__(self, settings: Train, widths: Mapping[str, int], branch_settings: BranchSettings) -> None:
        """`widths`: of each branch's embedding, by its condition."""
        super().__init__(settings)
        self.widths = dict(widths)
        self._zero_tokens = branch_settings.absent == "zero_tokens"

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Any]:
        """(B, width) for each of `widths`, in order, and the state for `losses`."""
        raise NotImplementedError

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        self.branches = Branches(unet, self.widths, self._zero_tokens)
        if self.encoder is not None:
            self.encoder.to(unet.device)

    def condition(self, batch: Batch) -> tuple[UNetInputs, Any]:
        inputs, _ = super().condition(batch)
        embeddings, state = self.embeddings(batch)
        return _with_embeds(inputs, [embeds[:, None] for embeds in embeddings]), state

    def drop(self, inputs: UNetInputs, condition: str, rows: Tensor | None = None) -> UNetInputs:
        """Sets the condition to zeros, like the stock pipeline's negative prompt and negative image embedding."""
        if condition not in self.widths:
            return super().drop(inputs, condition, rows)
        return self._change(inputs, condition, lambda embeds: zeroed(embeds, rows))

    def scale(self, name: str, weight: float) -> None:
        if name in self.widths:
            self.branches.scale(name, weight)

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        if "body" not in self.widths:
            return super().blend(first, second, weight)
        second_body = second.added_cond_kwargs["image_embeds"][list(self.widths).index("body")]
        return self._change(first, "body", lambda embeds: torch.lerp(embeds, second_body, weight))

    def place(self, inputs: UNetInputs, masks: Tensor) -> UNetInputs:
        embeds = [people.transpose(0, 1) for people in inputs.added_cond_kwargs["image_embeds"]]
        one = _with_embeds(inputs.rows(slice(1)), embeds)
        return replace(one, cross_attention_kwargs={"ip_adapter_masks": [masks[None]] * len(embeds)})

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from self.branches.trained_parameters()
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

    def freeze(self) -> None:
        self.branches.freeze()

    def load_public(self, path: Path) -> None:
        """A published IP-Adapter for the reference branch. The others add nothing at first, so that training starts
        from what the file does."""
        if "ref" not in self.widths:
            super().load_public(path)
        self.branches.load_public("ref", path)
        for name in self.widths:
            if name != "ref":
                self.branches.silence(name)

    def _change(self, inputs: UNetInputs, condition: str, change: Callable[[Tensor], Tensor]) -> UNetInputs:
        embeds = list(inputs.added_cond_kwargs["image_embeds"])
        number = list(self.widths).index(condition)
        embeds[number] = change(embeds[number])
        return _with_embeds(inputs, embeds)


def _with_embeds(inputs: UNetInputs, embeds: list[Tensor]) -> UNetInputs:
    return replace(inputs, added_cond_kwargs=inputs.added_cond_kwargs | {"image_embeds": embeds})

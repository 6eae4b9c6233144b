"""What methods made of IP-Adapter branches share: they differ in which branches there are, and what is fed to them."""

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
from bolid_train.methods.protocol import Source
from bolid_train.methods.text import Text, without


class Branched(Text):
    """A method says how wide the embedding of each branch is, by its source, and what a batch's embeddings are."""

    widths: dict[Source, int]
    encoder: nn.Module | None = None
    """What makes bodies of views; trained with the branches."""

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        """(B, width) for each of `widths`, in their order."""
        raise NotImplementedError

    def install(self, unet: UNet2DConditionModel) -> None:
        self.branches = Branches(unet, self.widths)
        if self.encoder is not None:
            self.encoder.to(unet.device)

    def condition(self, batch: Batch) -> UNetInputs:
        inputs = super().condition(batch)
        return _with_embeds(inputs, [embeds[:, None] for embeds in self.embeddings(batch)])

    def drop(self, inputs: UNetInputs, source: Source, rows: Tensor | None = None) -> UNetInputs:
        """Zeros, as the stock pipeline has for the negative prompt and the negative image embedding."""
        if source not in self.widths:
            return super().drop(inputs, source, rows)
        return self._change(inputs, source, lambda embeds: without(embeds, rows))

    def scale(self, source: Source, weight: float) -> None:
        if source in self.widths:
            self.branches.scale(source, weight)

    def blend(self, first: UNetInputs, second: UNetInputs, weight: float) -> UNetInputs:
        if "body" not in self.widths:
            return super().blend(first, second, weight)
        other = second.added_cond_kwargs["image_embeds"][list(self.widths).index("body")]
        return self._change(first, "body", lambda embeds: torch.lerp(embeds, other, weight))

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

    def _change(self, inputs: UNetInputs, source: Source, change: Callable[[Tensor], Tensor]) -> UNetInputs:
        embeds = list(inputs.added_cond_kwargs["image_embeds"])
        number = list(self.widths).index(source)
        embeds[number] = change(embeds[number])
        return _with_embeds(inputs, embeds)


def _with_embeds(inputs: UNetInputs, embeds: list[Tensor]) -> UNetInputs:
    return replace(inputs, added_cond_kwargs=inputs.added_cond_kwargs | {"image_embeds": embeds})

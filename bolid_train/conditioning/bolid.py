"""BoLID: text, one reference photo and a body, by decoupled cross-attention on a frozen UNet."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_train.batches import Batch
from bolid_train.body.encoder import BodyEncoder, Spread
from bolid_train.conditioning.branches import Branches
from bolid_train.conditioning.protocol import Source, UNetInputs
from bolid_train.files import write_safetensors

if TYPE_CHECKING:
    from bolid_train.denoiser import Denoiser

_BRANCHES: tuple[Source, ...] = ("ref", "body")


class Bolid:
    """The method of method.md, sections 2 and 3: two IP-Adapter branches and the Body-ID encoder."""

    def __init__(self, settings: Train, ref_dim: int) -> None:
        self.widths: dict[str, int] = {"ref": ref_dim, "body": settings.body_dim}
        self.encoder = BodyEncoder(ref_dim, settings.body_dim)
        self.spread = Spread(settings.body_dim)
        self.body = nn.ModuleDict({"encoder": self.encoder, "spread": self.spread})

    def install(self, unet: UNet2DConditionModel) -> None:
        self.branches = Branches(unet, self.widths)
        self.body.to(unet.device)

    def condition(self, batch: Batch) -> UNetInputs:
        return UNetInputs(
            batch.prompt_embeds,
            {
                "text_embeds": batch.pooled_prompt_embeds,
                "time_ids": batch.time_ids,
                "image_embeds": [batch.image_embeds[:, None], self._bodies(batch)[:, None]],
            },
        )

    def _bodies(self, batch: Batch) -> Tensor:
        """c_body (B, C): encoded where there are views, drawn where there are none."""
        bodies = self.encoder(batch.view_embeds, batch.confidence)
        given = batch.confidence.sum(dim=1) > 0
        if torch.is_grad_enabled():
            self.spread.update(bodies.detach()[given])
        if bool(given.all()):
            return bodies
        return torch.where(given[:, None], bodies, self.spread.draw(len(bodies)))

    def drop(self, inputs: UNetInputs, source: Source, rows: Tensor | None = None) -> UNetInputs:
        """Zeros, as the stock pipeline has for the negative prompt and the negative image embedding."""
        added = dict(inputs.added_cond_kwargs)
        if source == "text":
            added["text_embeds"] = _without(added["text_embeds"], rows)
            return replace(
                inputs,
                encoder_hidden_states=_without(inputs.encoder_hidden_states, rows),
                added_cond_kwargs=added,
            )
        dropped = _BRANCHES.index(source)
        added["image_embeds"] = [
            _without(embeds, rows) if number == dropped else embeds
            for number, embeds in enumerate(added["image_embeds"])
        ]
        return replace(inputs, added_cond_kwargs=added)

    def scale(self, source: Source, weight: float) -> None:
        self.branches.scale(source, weight)

    def losses(self, denoiser: "Denoiser", batch: Batch) -> dict[str, Tensor]:
        return {}

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from self.branches.parameters()
        yield from self.body.parameters()

    def save(self, folder: Path) -> dict[str, str]:
        for name in _BRANCHES:
            self.branches.save(name, folder / f"{name}.safetensors")
        write_safetensors(self.body.state_dict(), folder / "encoder.safetensors")
        return {
            "ref.safetensors": "ip-adapter",
            "body.safetensors": "ip-adapter",
            "encoder.safetensors": "body-encoder",
        }

    def load(self, folder: Path) -> None:
        for name in _BRANCHES:
            self.branches.load(name, folder / f"{name}.safetensors")
        self.body.load_state_dict(load_file(folder / "encoder.safetensors"))


def _without(values: Tensor, rows: Tensor | None) -> Tensor:
    if rows is None:
        return torch.zeros_like(values)
    return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0)

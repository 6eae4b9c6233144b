"""FaceID: an IP-Adapter of a face embedding, with low-rank layers on all of the UNet's attention."""

from collections.abc import Iterator
from pathlib import Path

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bolid_train.methods.layers.branches import Branches
from bolid_train.methods.layers.low_rank import LowRankLinear, add_low_rank, rank_of

RANK = 128
"""As published."""
_NAME = "ref"


class FaceIdBranch(Branches):
    """The branch `ref`, whose weight λ is that of the low-rank layers, too."""

    def __init__(self, unet: UNet2DConditionModel, projection: nn.Module, width: int, zero_tokens: bool) -> None:
        """`width`: of what the projection takes."""
        super().__init__(unet, {_NAME: width}, zero_tokens, {_NAME: projection})
        self._attentions = [unet.get_submodule(name.removesuffix(".processor")) for name in unet.attn_processors]
        self._low_rank: dict[str, LowRankLinear] = {}
        self._set_rank(RANK)

    def scale(self, name: str, weight: float) -> None:
        super().scale(name, weight)
        for layer in self._low_rank.values():
            layer.scale = weight

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        yield from super().trained_parameters()
        for layer in self._low_rank.values():
            yield from layer.down.parameters()
            yield from layer.up.parameters()

    def freeze(self) -> None:
        super().freeze()
        for layer in self._low_rank.values():
            layer.requires_grad_(False)
            layer.down.to(self.dtype)
            layer.up.to(self.dtype)

    def copy(self, name: str, stored: dict[str, Tensor], path: Path) -> None:
        """As for any branch. The rank of the low-rank layers is the file's."""
        # Of layers that are trained already, another rank is an error.
        if (rank := rank_of(stored)) not in (0, self._rank) and not self._is_trained:
            self._set_rank(rank)
        super().copy(name, stored, path)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """A branch's tensors, with those of the low-rank layers, `ip_adapter.{0,1,2,…}.to_q_lora.down.weight` and so
        on, of self- and cross-attention."""
        tensors = super().tensors(name)
        for place, layer in self._low_rank.items():
            tensors[f"ip_adapter.{place}.down.weight"] = layer.down.weight.detach()
            tensors[f"ip_adapter.{place}.up.weight"] = layer.up.weight.detach()
        return tensors

    def _set_rank(self, rank: int) -> None:
        self._rank = rank
        for number, attention in enumerate(self._attentions):
            for name, layer in add_low_rank(attention, rank).items():
                self._low_rank[f"{number}.{name}"] = layer

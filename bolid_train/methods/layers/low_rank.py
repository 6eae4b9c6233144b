"""Low-rank layers beside the UNet's attention, as FaceID's files have them (Hu et al. 2022)."""

from collections.abc import Mapping

from torch import Tensor, nn

_PARTS = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"}
"""The names in FaceID's files, and in the UNet."""


class LowRankLinear(nn.Module):
    """W y + λ·up(down y); the layer W itself is not changed, and at λ = 0 it is all there is."""

    def __init__(self, base_layer: nn.Linear, rank: int, scale: float = 1.0) -> None:
        super().__init__()
        self.base_layer, self.scale = base_layer, scale
        device = base_layer.weight.device
        self.down = nn.Linear(base_layer.in_features, rank, bias=False, device=device)  # in float32, to be trained
        self.up = nn.Linear(rank, base_layer.out_features, bias=False, device=device)
        nn.init.zeros_(self.up.weight)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(…, C) to (…, C'), in the type of the input."""
        output = self.base_layer(hidden_states)
        if self.scale == 0:
            return output
        added = self.up(self.down(hidden_states.to(self.down.weight.dtype)))
        return output + (self.scale * added).to(output.dtype)


def add_low_rank(attention: nn.Module, rank: int, scale: float = 1.0) -> dict[str, LowRankLinear]:
    """Puts low-rank layers beside q, k, v and the output of an attention layer, in place of those that are there;
    returns them by their names in FaceID's files. The keys and values of an image's tokens have none."""
    layers: dict[str, LowRankLinear] = {}
    for name, place in _PARTS.items():
        present = attention.get_submodule(place)
        base_layer = present.base_layer if isinstance(present, LowRankLinear) else present
        layers[f"{name}_lora"] = LowRankLinear(base_layer, rank, scale)  # type: ignore[arg-type]
        attention.set_submodule(place, layers[f"{name}_lora"])
    return layers


def rank_of(weights: Mapping[str, Tensor]) -> int:
    """The rank of the low-rank layers in a file's `ip_adapter`; 0 if it has none."""
    return next((len(value) for name, value in weights.items() if name.endswith("_lora.down.weight")), 0)

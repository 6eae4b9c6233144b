"""Branches of decoupled cross-attention on one UNet, each saved as a plain IP-Adapter (Ye et al. 2023)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from torch import Tensor, nn
from torch.nn.functional import linear

from bolid_data.errors import BolidError
from bolid_train.files import read_safetensors, refuse_non_finite, write_safetensors
from bolid_train.methods.layers.attention import Attention, BranchedAttention, KeysAndValues
from bolid_train.methods.layers.public import read_ip_adapter

TOKENS = 4
_PROJECTION = {"image_embeds": "proj", "norm": "norm"}  # diffusers' name → IP-Adapter's


class Branches(MultiIPAdapterImageProjection):
    """Z' = Attn(Q, K_t, V_t) + Σ_b λ_b · Attn(Q, K_b, V_b) over named branches b (method.md, section 3).

    The UNet calls it once per pass, with each branch's embeddings, and passes the keys and values that it returns on to
    the layers. Weights are in float32, whatever the UNet's type; the keys and values have the UNet's.
    """

    def __init__(self, unet: UNet2DConditionModel, widths: Mapping[str, int], zero_tokens: bool) -> None:
        """Installs a branch per name, with embeddings of width `widths[name]`; K_b and V_b start as the UNet's K and
        V.

        Args:
            zero_tokens: keep the projections' biases at 0. An embedding of zeros, which stands for a photo that is not
                given, then becomes tokens, keys and values of zeros, and adds nothing to the UNet: the same as scale 0,
                also in the stock pipeline. Otherwise its tokens are whatever the biases make of it.
        """
        text_dim = unet.config.cross_attention_dim
        super().__init__([ImageProjection(width, text_dim, TOKENS) for width in widths.values()])
        self.to(unet.device)
        self.names: list[str] = list(widths)
        self._scales = [1.0] * len(self.names)
        self._dtype = unet.dtype
        layers = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        original = [
            unet.get_submodule(name.removesuffix("processor") + part).get_parameter("weight")
            for name in layers
            for part in ("to_k", "to_v")
        ]
        self._rows = [len(weight) for weight in original]
        # One matrix for all layers: their keys and values are one product, and their weights one tensor to optimise.
        weights = torch.cat(original).float()
        self.to_kv = nn.ParameterList(nn.Parameter(weights.clone()) for _ in self.names)
        self._fixed: dict[str, list[nn.Parameter]] = {name: [] for name in self.names}
        if zero_tokens:
            for name, projection in zip(self.names, self.image_projection_layers, strict=True):
                self._fixed[name] = [projection.image_embeds.bias, projection.norm.bias]
                for bias in self._fixed[name]:
                    bias.requires_grad_(False).zero_()
        branched = {name: BranchedAttention(number, self._scales) for number, name in enumerate(layers)}
        unet.set_attn_processor(dict.fromkeys(unet.attn_processors, Attention()) | branched)
        unet.encoder_hid_proj = self
        unet.register_to_config(encoder_hid_dim_type="ip_image_proj")

    def forward(self, image_embeds: Sequence[Tensor]) -> list[KeysAndValues]:
        """Each branch's keys and values, of its embeddings (B, P, D) of P photos."""
        return self.keys_and_values(super().forward([embeds.float() for embeds in image_embeds]))

    def keys_and_values(self, tokens: Sequence[Tensor]) -> list[KeysAndValues]:
        """Each branch's keys and values, of its tokens (B, P, T, D)."""
        return [
            linear(of_branch.to(self._dtype), weights.to(self._dtype)).split(self._rows, dim=-1)
            for of_branch, weights in zip(tokens, self.to_kv, strict=True)
        ]

    def scale(self, name: str, weight: float) -> None:
        """Sets λ of a branch."""
        self._scales[self.names.index(name)] = weight

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """All but the biases that stay at 0."""
        fixed = {id(bias) for biases in self._fixed.values() for bias in biases}
        yield from (value for value in self.parameters() if id(value) not in fixed)

    def freeze(self) -> None:
        """Converts what is used in every step of generation to the UNet's type; nothing can be trained after it."""
        self.requires_grad_(False)
        for weights in self.to_kv:
            weights.data = weights.data.to(self._dtype)

    def save(self, name: str, path: Path) -> None:
        """Writes a branch in IP-Adapter layout: `image_proj.*`, and `ip_adapter.{1,3,5,…}` in the UNet's order."""
        write_safetensors(self.tensors(name), path)

    def load(self, name: str, path: Path) -> None:
        """Loads a branch that `save` wrote, for a UNet of the same shape."""
        self._copy(name, read_safetensors(path), path)

    def load_public(self, name: str, path: Path) -> None:
        """Loads a published IP-Adapter, `.safetensors` or a `.bin` of nested dictionaries, for a UNet of the same
        shape. The projection keeps the file's biases, and these are trained."""
        self._copy(name, read_ip_adapter(path), path)
        for bias in self._fixed[name]:
            bias.requires_grad_(True)
        self._fixed[name] = []

    @torch.no_grad()
    def silence(self, name: str) -> None:
        """Sets a branch's values to zeros, so that it adds nothing until it is trained."""
        for key, value in self.tensors(name).items():
            if key.endswith("to_v_ip.weight"):
                value.zero_()

    @torch.no_grad()
    def _copy(self, name: str, stored: dict[str, Tensor], path: Path) -> None:
        tensors = self.tensors(name)
        if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in tensors.items()}:
            raise BolidError(f"{path} does not fit this base: it was trained on a UNet of another shape")
        refuse_non_finite(stored, path)
        for key, value in tensors.items():
            value.copy_(stored[key])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """A branch's tensors by their name in the file, which share memory with the weights; layers are numbered in
        ComfyUI's order."""
        number = self.names.index(name)
        projection = self.image_projection_layers[number]
        tensors = {
            f"image_proj.{ip_adapter_name}.{key}": value.detach()
            for diffusers_name, ip_adapter_name in _PROJECTION.items()
            for key, value in projection.get_submodule(diffusers_name).named_parameters()
        }
        for position, rows in enumerate(self.to_kv[number].detach().split(self._rows)):
            kind = "v" if position % 2 else "k"
            tensors[f"ip_adapter.{position - position % 2 + 1}.to_{kind}_ip.weight"] = rows
        return tensors

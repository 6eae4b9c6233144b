"""Branches of decoupled cross-attention on one UNet, each saved as a plain IP-Adapter (Ye et al. 2023)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from torch import Tensor, nn

from bolid_data.errors import BolidError
from bolid_train.files import read_safetensors, refuse_non_finite, write_safetensors
from bolid_train.methods.layers.attention import Attention, BranchedAttention
from bolid_train.methods.layers.public import read_ip_adapter

TOKENS = 4
_PROJECTION = {"image_embeds": "proj", "norm": "norm"}  # diffusers' name → IP-Adapter's


class Branches:
    """Z' = Attn(Q, K_t, V_t) + Σ_b λ_b · Attn(Q, K_b, V_b) over named branches b (method.md, section 3)."""

    def __init__(self, unet: UNet2DConditionModel, widths: Mapping[str, int], zero_tokens: bool) -> None:
        """Installs a branch per name, with embeddings of width `widths[name]`; K_b and V_b start as the UNet's K and
        V.

        Args:
            zero_tokens: keep the projections' biases at 0. An embedding of zeros, which stands for a photo that is not
                given, then becomes tokens, keys and values of zeros, and adds nothing to the UNet: the same as scale 0,
                also in the stock pipeline. Otherwise its tokens are whatever the biases make of it.
        """
        self.names: list[str] = list(widths)
        self.processors = {
            name: _processor(unet.get_submodule(name.removesuffix(".processor")), len(self.names))
            for name in unet.attn_processors
            if name.endswith("attn2.processor")
        }
        unet.set_attn_processor(dict.fromkeys(unet.attn_processors, Attention()) | self.processors)
        text_dim = unet.config.cross_attention_dim
        self.projections = MultiIPAdapterImageProjection(
            [ImageProjection(width, text_dim, TOKENS) for width in widths.values()]
        ).to(unet.device)
        self._fixed: dict[str, list[nn.Parameter]] = {name: [] for name in self.names}
        if zero_tokens:
            for name, projection in zip(self.names, self.projections.image_projection_layers, strict=True):
                self._fixed[name] = [projection.image_embeds.bias, projection.norm.bias]
                for bias in self._fixed[name]:
                    bias.requires_grad_(False).zero_()
        unet.encoder_hid_proj = self.projections
        unet.register_to_config(encoder_hid_dim_type="ip_image_proj")

    def scale(self, name: str, weight: float) -> None:
        """Sets λ of a branch."""
        for processor in self.processors.values():
            processor.scale[self.names.index(name)] = weight

    def parameters(self) -> Iterable[nn.Parameter]:
        fixed = {id(bias) for biases in self._fixed.values() for bias in biases}
        yield from (value for value in self.projections.parameters() if id(value) not in fixed)
        for processor in self.processors.values():
            yield from processor.parameters()

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
        for processor in self.processors.values():
            processor.to_v_ip[self.names.index(name)].weight.zero_()

    @torch.no_grad()
    def _copy(self, name: str, stored: dict[str, Tensor], path: Path) -> None:
        tensors = self.tensors(name)
        if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in tensors.items()}:
            raise BolidError(f"{path} does not fit this base: it was trained on a UNet of another shape")
        refuse_non_finite(stored, path)
        for key, value in tensors.items():
            value.copy_(stored[key])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """A branch's trained tensors by their name in the file; layers are numbered in ComfyUI's order."""
        number = self.names.index(name)
        projection = self.projections.image_projection_layers[number]
        tensors = {
            f"image_proj.{ip_adapter_name}.{key}": value
            for diffusers_name, ip_adapter_name in _PROJECTION.items()
            for key, value in projection.get_submodule(diffusers_name).named_parameters()
        }
        for position, processor in enumerate(self.processors.values()):
            tensors[f"ip_adapter.{2 * position + 1}.to_k_ip.weight"] = processor.to_k_ip[number].weight
            tensors[f"ip_adapter.{2 * position + 1}.to_v_ip.weight"] = processor.to_v_ip[number].weight
        return tensors


def _processor(attention: nn.Module, branches: int) -> BranchedAttention:
    key, value = attention.get_submodule("to_k"), attention.get_submodule("to_v")
    assert isinstance(key, nn.Linear) and isinstance(value, nn.Linear)
    processor = BranchedAttention(key.out_features, key.in_features, num_tokens=[TOKENS] * branches)
    for layers, original in ((processor.to_k_ip, key), (processor.to_v_ip, value)):
        for layer in layers:
            layer.load_state_dict({"weight": original.weight.float()})
    return processor.to(key.weight.device)

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
from bolid_train.methods.protocol import Condition

TOKENS = 4
_PROJECTION = {"image_embeds": "proj", "norm": "norm"}  # diffusers' name → IP-Adapter's


class Branches:
    """Z' = Attn(Q, K_t, V_t) + Σ_b λ_b · Attn(Q, K_b, V_b) over named branches b (method.md, section 3)."""

    def __init__(self, unet: UNet2DConditionModel, widths: Mapping[Condition, int]) -> None:
        """Installs a branch per name, with embeddings of width `widths[name]`; K_b and V_b start as the UNet's K and
        V."""
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
        unet.encoder_hid_proj = self.projections
        unet.register_to_config(encoder_hid_dim_type="ip_image_proj")

    def scale(self, name: str, weight: float) -> None:
        """Sets λ of a branch."""
        for processor in self.processors.values():
            processor.scale[self.names.index(name)] = weight

    def parameters(self) -> Iterable[nn.Parameter]:
        yield from self.projections.parameters()
        for processor in self.processors.values():
            yield from processor.parameters()

    def save(self, name: str, path: Path) -> None:
        """Writes a branch in IP-Adapter layout: `image_proj.*`, and `ip_adapter.{1,3,5,…}` in the UNet's order."""
        write_safetensors(self.tensors(name), path)

    @torch.no_grad()
    def load(self, name: str, path: Path) -> None:
        """Loads a branch that `save` wrote, for a UNet of the same shape."""
        stored, tensors = read_safetensors(path), self.tensors(name)
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

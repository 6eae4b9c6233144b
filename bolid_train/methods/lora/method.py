"""A DreamBooth-style LoRA of one person (Ruiz et al. 2023, Hu et al. 2022): the alternative to an adapter."""

from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import nn

from bolid_data.errors import BolidError
from bolid_train.diffusion.base import Base
from bolid_train.files import read_safetensors, refuse_non_finite, write_safetensors
from bolid_train.methods.layers.attention import Attention
from bolid_train.methods.lora.settings import Settings
from bolid_train.methods.text.method import TextOnly

_ADAPTER, _FILE = "person", "pytorch_lora_weights.safetensors"
_LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]


class Lora(TextOnly):
    """Method `lora`: low-rank layers on the UNet's attention, trained on the photos of one person. The weights hold the
    person, so generation needs no photos, and `scale` of the body scales the layers."""

    def install(self, unet: UNet2DConditionModel, base: Base) -> None:
        self.unet = unet
        unet.set_attn_processor(Attention())
        rank = Settings.of(self.settings).rank
        config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=_LAYERS)
        unet.add_adapter(config, adapter_name=_ADAPTER)
        cast_training_params(unet, torch.float32)

    def scale(self, name: str, weight: float) -> None:
        if name == "body":
            for layer in self._layers():
                layer.set_scale(_ADAPTER, weight)

    def parameters(self) -> Iterable[nn.Parameter]:
        for layer in self._layers():
            yield from layer.lora_A[_ADAPTER].parameters()
            yield from layer.lora_B[_ADAPTER].parameters()

    def save(self, folder: Path) -> dict[str, str]:
        tensors = get_peft_model_state_dict(self.unet, adapter_name=_ADAPTER)
        write_safetensors({f"unet.{name}": value for name, value in tensors.items()}, folder / _FILE)
        return {_FILE: "lora"}

    def load(self, folder: Path) -> None:
        stored, file = read_safetensors(folder / _FILE), folder / _FILE
        tensors = {name.removeprefix("unet."): value for name, value in stored.items()}
        expected = get_peft_model_state_dict(self.unet, adapter_name=_ADAPTER)
        if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in expected.items()}:
            raise BolidError(f"{file} does not fit this base: it was trained on a UNet of another shape or rank")
        refuse_non_finite(stored, file)
        set_peft_model_state_dict(self.unet, tensors, adapter_name=_ADAPTER)

    def _layers(self) -> list[LoraLayer]:
        """The layers of this adapter; Lightning's may be on the same UNet."""
        layers = (module for module in self.unet.modules() if isinstance(module, LoraLayer))
        return [layer for layer in layers if _ADAPTER in layer.lora_A]

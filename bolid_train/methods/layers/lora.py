"""Low-rank layers on the UNet's attention (Hu et al. 2022)."""

from collections.abc import Iterator, Mapping

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from bolid_train.methods.layers.attention import Attention

_PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]


class LoraLayers:
    """The layers of one LoRA; others, such as Lightning's, may be on the same UNet."""

    def __init__(self, unet: UNet2DConditionModel, name: str, rank: int) -> None:
        """Adds them to all attention layers, in float32, so that they change nothing at first."""
        self._unet, self._name = unet, name
        unet.set_attn_processor(Attention())
        config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=_PROJECTIONS)
        unet.add_adapter(config, adapter_name=name)
        cast_training_params(unet, torch.float32)

    def scale(self, weight: float) -> None:
        """0 switches them off."""
        for layer in self._layers():
            layer.set_scale(self._name, weight)

    def parameters(self) -> Iterator[nn.Parameter]:
        for layer in self._layers():
            yield from layer.lora_A[self._name].parameters()
            yield from layer.lora_B[self._name].parameters()

    def tensors(self) -> dict[str, Tensor]:
        """By peft's names, such as `mid_block.….to_q.lora_A.weight`."""
        tensors: dict[str, Tensor] = get_peft_model_state_dict(self._unet, adapter_name=self._name)
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads what `tensors` gave; names and shapes are to be those of `tensors`."""
        set_peft_model_state_dict(self._unet, dict(tensors), adapter_name=self._name)

    def _layers(self) -> list[LoraLayer]:
        layers = (module for module in self._unet.modules() if isinstance(module, LoraLayer))
        return [layer for layer in layers if self._name in layer.lora_A]

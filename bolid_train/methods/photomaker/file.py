"""PhotoMaker's published layout: `photomaker-v1.bin`, or the same as safetensors. A run's file is such a file."""

from collections.abc import Mapping
from pathlib import Path

from diffusers.utils import convert_unet_state_dict_to_peft
from torch import Tensor

from bolid_train.methods.layers.public import read_parts

ENCODER, LORA = "id_encoder.", "lora_weights.unet."
"""What the names of the tensors start with."""

_PARTS = ("id_encoder", "lora_weights")
_PROJECTIONS = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out.0": "to_out"}
_SIDES = {"lora_A": "down", "lora_B": "up"}
_NO_WEIGHTS = f"{ENCODER}vision_model.embeddings.position_ids"
"""Numbers from 0 on, which files written with older libraries have."""


def read_photomaker(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their published names; the LoRA's may also be named as diffusers or peft name them.

    Raises UsageError if there is no such file, BolidError if it is not a PhotoMaker.
    """
    tensors = read_parts(path, _PARTS, "a PhotoMaker")
    tensors.pop(_NO_WEIGHTS, None)
    lora = {name: value for name, value in tensors.items() if name.startswith(LORA)}
    by_peft = part(convert_unet_state_dict_to_peft(lora), LORA)
    others = {name: value for name, value in tensors.items() if name not in lora}
    return others | {published_lora(name): value for name, value in by_peft.items()}


def published(encoder: Mapping[str, Tensor], lora: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors by their published names. `lora`: by peft's names."""
    tensors = {f"{ENCODER}{name}": value for name, value in encoder.items()}
    return tensors | {published_lora(name): value for name, value in lora.items()}


def published_lora(name: str) -> str:
    """Of peft's `mid_block.….attn1.to_out.0.lora_A.weight`, the published
    `lora_weights.unet.mid_block.….attn1.processor.to_out_lora.down.weight`; other names only get the prefix."""
    layer, *rest = name.rsplit(".", 2)
    for projection, shorter in _PROJECTIONS.items():
        if layer.endswith(f".{projection}") and len(rest) == 2 and rest[0] in _SIDES:
            attention = layer.removesuffix(f".{projection}")
            return f"{LORA}{attention}.processor.{shorter}_lora.{_SIDES[rest[0]]}.{rest[1]}"
    return f"{LORA}{name}"


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

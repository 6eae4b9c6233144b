"""The floating-point types in which the frozen models run, decided here for training and for generation.

Weights that are trained are always in float32, and so are losses: there is no autocast, which would convert at every
layer, and doubles the kernels that an accelerator has to start.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from bolid_data.errors import UsageError
from bolid_data.manifest import Train

Mixed = Literal["no", "bf16", "fp16"]


@dataclass(frozen=True)
class Precision:
    """The type of the UNet, of ControlNets and of text and image encoders, and that of the VAE."""

    models: torch.dtype = torch.float32
    vae: torch.dtype = torch.float32

    def __str__(self) -> str:
        return str(self.models).removeprefix("torch.")


FULL = Precision()


def mixed_precision(settings: Train, device: torch.device) -> Mixed:
    """`[train] mixed_precision`; by default bf16 on an accelerator that has it, fp16 on others, and no on a CPU.

    Raises UsageError for a type that the device does not support.
    """
    default: Mixed = "no" if device.type == "cpu" else "bf16" if _has_bfloat16(device) else "fp16"
    chosen = settings.mixed_precision or default
    if chosen == "fp16" and device.type == "cpu":
        raise UsageError('[train] mixed_precision "fp16" needs an accelerator; take "bf16" or "no"')
    if chosen == "bf16" and not _has_bfloat16(device):
        raise UsageError('[train] mixed_precision "bf16": this accelerator has no bfloat16; take "fp16" or "no"')
    return chosen


def training_precision(settings: Train, device: torch.device) -> Precision:
    """What a training step runs in."""
    return _precision(mixed_precision(settings, device), device)


def encoding_precision(settings: Train, device: torch.device) -> Precision:
    """What photos and prompts are encoded in, once: as in training on an accelerator, in full on a CPU."""
    return FULL if device.type == "cpu" else training_precision(settings, device)


def generation_precision(device: torch.device) -> Precision:
    """What images are generated in: half precision on an accelerator, full on a CPU."""
    if device.type == "cpu":
        return FULL
    return _precision("bf16" if _has_bfloat16(device) else "fp16", device)


def _precision(mixed: Mixed, device: torch.device) -> Precision:
    if mixed == "no":
        return FULL
    if mixed == "bf16":
        return Precision(torch.bfloat16, torch.bfloat16)
    # SDXL's decoder overflows in float16.
    return Precision(torch.float16, torch.bfloat16 if _has_bfloat16(device) else torch.float32)


def _has_bfloat16(device: torch.device) -> bool:
    return device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)

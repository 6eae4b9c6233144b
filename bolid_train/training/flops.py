"""How much a UNet computes per image, and the share of an accelerator's peak that a run reaches (MFU).

A forward pass costs F, mostly products of weights with activations. Backward, each such product costs F again for the
gradient of its activations, and F once more for the gradient of its weights. The weights here are frozen and only
gradients of activations are taken: a step costs about 2 F, not the 3 F of full training. Two things go beyond: in
attention both factors are activations, so its share counts three times; and what lies before the first trained layer
needs no gradient at all. So the pass back is counted as it runs, not guessed. What is computed anew under gradient
checkpointing is no model FLOP and left out (Chowdhery et al. 2022, appendix B).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

PEAKS = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA L4": 121e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
    "NVIDIA GeForce RTX 3090": 71e12,
}
"""Device, as torch names it → FLOP/s in bfloat16 without sparsity, summed in float32, by NVIDIA's data sheets and its
white papers of GA102 and Ada."""


@dataclass(frozen=True)
class Flops:
    """Floating-point operations; a multiplication with its addition is two."""

    forward: int
    backward: int

    @property
    def step(self) -> int:
        """Of a training step."""
        return self.forward + self.backward


def count(forward: Callable[[], Tensor]) -> Flops:
    """Counts a pass forward and back, on tensors of the meta device: nothing is computed, and attention is not hidden
    in a fused kernel, which the counter may not know."""
    with FlopCounterMode(display=False) as passed:
        output = forward()
    with FlopCounterMode(display=False) as returned:
        output.sum().backward()
    return Flops(passed.get_total_flops(), returned.get_total_flops())


def unet_flops(config: Any, height: int, width: int, tokens: int = 77) -> Flops:
    """Per image, of an SDXL-like UNet that is frozen and gets a trained condition of `tokens` tokens.

    Args: config, of a UNet2DConditionModel; height and width of the latents. The adapter's own layers are not counted:
    with 4 tokens a branch they are about a thousandth.
    """
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config, encoder_hid_dim_type=None).requires_grad_(False)
        pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        noisy, timesteps = torch.empty(1, unet.config.in_channels, height, width), torch.empty(1)
        condition = torch.empty(1, tokens, unet.config.cross_attention_dim, requires_grad=True)
        added = {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, 6)}
        return count(lambda: unet(noisy, timesteps, condition, added_cond_kwargs=added).sample)


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s that the device's maker promises; None where that is not known, as for processors."""
    return PEAKS.get(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def estimate_mfu(flops_per_image: float, images_per_second: float, peak: float | None) -> float | None:
    """Share of `peak`, in FLOP/s, that training reaches: 0 … 1; None where no peak is known."""
    return flops_per_image * images_per_second / peak if peak else None

"""A UNet's FLOPs per image, and the share of an accelerator's peak that a run reaches (MFU).

A forward pass costs F, mostly products of weights with activations. In the backward pass, each such product costs F for
the gradient of its activations, and another F for the gradient of its weights. Here the weights are frozen and only
gradients of activations are computed, so a step costs about 2 F, not the 3 F of full training. There are two
exceptions: in attention both factors are activations, so it costs 3 F; and layers before the first trained layer need
no gradient. The backward pass is therefore counted as it runs, not estimated. Recomputation under gradient
checkpointing does not count as model FLOPs (Chowdhery et al. 2022, appendix B).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bolid_data.manifest import ObjectiveSettings
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base

PEAKS = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA L4": 121e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
    "NVIDIA GeForce RTX 3090": 71e12,
}
"""Device, as torch names it → dense bfloat16 FLOP/s with float32 accumulation, from NVIDIA's data sheets and its GA102
and Ada white papers."""


@dataclass(frozen=True)
class Flops:
    """Floating-point operations; a multiply-add counts as two."""

    forward: int
    backward: int

    @property
    def step(self) -> int:
        """FLOPs of a training step."""
        return self.forward + self.backward


def count(forward: Callable[[], Tensor]) -> Flops:
    """Counts a forward and a backward pass on the meta device, where nothing is computed, and attention does not use a
    fused kernel that the counter may not support."""
    with FlopCounterMode(display=False) as forward_counter:
        output = forward()
    with FlopCounterMode(display=False) as backward_counter:
        output.sum().backward()
    return Flops(forward_counter.get_total_flops(), backward_counter.get_total_flops())


def decoder_flops(config: Any, height: int, width: int) -> Flops:
    """FLOPs per image of a frozen VAE's decoder, of latents of `height` × `width`, with gradients of its input."""
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(config).requires_grad_(False)
        latents = torch.empty(1, vae.config.latent_channels, height, width, requires_grad=True)
        return count(lambda: vae.decode(latents).sample)


def step_flops(base: Base, unet: Any, objective: ObjectiveSettings, height: int, width: int) -> float:
    """FLOPs of a training step per image: L_diff, and for a share of the images those of L_id and L_CLIP, except for
    the detector and CLIP, which are small. `unet`: its configuration."""
    diffusion = unet_flops(unet, height, width)
    if not objective.needs_images:
        return diffusion.step
    # Lightning's first three steps have no gradient.
    image = diffusion.step + (diffusion.forward * (lightning.STEPS - 1) if objective.pictures == "lightning" else 0)
    return diffusion.step + objective.share * (image + decoder_flops(base.vae_config, height, width).step)


def unet_flops(config: Any, height: int, width: int, tokens: int = 77) -> Flops:
    """FLOPs per image of a frozen SDXL-like UNet with a trained condition of `tokens` tokens.

    Args: config, of a UNet2DConditionModel; height and width of the latents. The adapter's layers are not counted: with
    4 tokens per branch they add about a thousandth.
    """
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config, encoder_hid_dim_type=None).requires_grad_(False)
        pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        noisy, timesteps = torch.empty(1, unet.config.in_channels, height, width), torch.empty(1)
        condition = torch.empty(1, tokens, unet.config.cross_attention_dim, requires_grad=True)
        added = {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, 6)}
        return count(lambda: unet(noisy, timesteps, condition, added_cond_kwargs=added).sample)


def peak_flops(device: torch.device) -> float | None:
    """The device's peak FLOP/s according to its maker; None if unknown, as for CPUs."""
    return PEAKS.get(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def estimate_mfu(flops_per_image: float, images_per_second: float, peak: float | None) -> float | None:
    """The share of `peak`, in FLOP/s, that training reaches: 0 … 1; None if the peak is unknown."""
    return flops_per_image * images_per_second / peak if peak else None

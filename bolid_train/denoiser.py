"""The denoiser: the frozen UNet with its noise schedule and its loss; nothing else sees a schedule."""

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_train.base import Base
from bolid_train.conditioning.protocol import UNetInputs


class Denoiser:
    """ε_θ(x_t, c, t) and what is trained on it."""

    def __init__(self, unet: UNet2DConditionModel, scheduler: DDPMScheduler) -> None:
        if scheduler.config.prediction_type != "epsilon":
            raise BolidError(
                f"the base predicts '{scheduler.config.prediction_type}'; name a base that predicts 'epsilon'"
            )
        self.unet, self.scheduler = unet, scheduler

    @classmethod
    def of(cls, base: Base, device: torch.device) -> "Denoiser":
        """The base's UNet with the training schedule of its scheduler's configuration."""
        return cls(base.unet(device), DDPMScheduler.from_pretrained(base.folder, subfolder="scheduler"))

    def __call__(self, noisy: Tensor, timesteps: Tensor, inputs: UNetInputs) -> Tensor:
        """The predicted noise (B, 4, h, w) of `noisy` (B, 4, h, w) at integer `timesteps` (B,)."""
        down, mid = inputs.residuals(noisy, timesteps) if inputs.residuals else (None, None)
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=noisy.device.type != "cpu"):
            return self.unet(
                noisy,
                timesteps,
                encoder_hidden_states=inputs.encoder_hidden_states,
                added_cond_kwargs=inputs.added_cond_kwargs,
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
            ).sample.float()

    def loss(self, latents: Tensor, inputs: UNetInputs) -> Tensor:
        """L_diff = E_{t,ε} ||ε - ε_θ(x_t, c_τ, c_ref, c_body, t)||² (method.md, section 4); draws t and ε itself."""
        noise = torch.randn_like(latents)
        last = self.scheduler.config.num_train_timesteps
        timesteps = torch.randint(last, (len(latents),), device=latents.device)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        return (self(noisy, timesteps, inputs) - noise).square().mean()

"""The denoiser: the frozen UNet with its noise schedule and what is computed with both; nothing else sees a
schedule."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bolid_data.errors import BolidError
from bolid_data.manifest import Train
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs


class Denoiser:
    """ε_θ(x_t, c, t), or v_θ where the base predicts v (Salimans and Ho 2022), and what is trained on it.

    Shapes: B rows; latents (B, C, h, w), scaled as the UNet takes them. α_t² is the scheduler's `alphas_cumprod`,
    σ_t² = 1 - α_t², and x_t = α_t·x₀ + σ_t·ε.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: DDPMScheduler,
        min_snr: float | None = None,
        fast: Path | None = None,
        later: bool = False,
    ) -> None:
        """`min_snr`: γ of min-SNR weighting. `fast`: the file of Lightning's LoRA, for `lightning`. `later`: late
        timesteps are drawn more often, in proportion to t."""
        kind = scheduler.config.prediction_type
        if kind not in ("epsilon", "v_prediction"):
            raise BolidError(f"the base predicts '{kind}'; name a base that predicts 'epsilon' or 'v_prediction'")
        self.unet, self.scheduler, self._min_snr = unet, scheduler, min_snr
        self._fast, self._attached, self._is_fast, self._later = fast, False, False, later

    @classmethod
    def of(cls, base: Base, settings: Train, device: torch.device, near: Path = Path()) -> "Denoiser":
        """The base's UNet with the training schedule of its scheduler's configuration; files that the settings name
        are relative to `near`."""
        objective = settings.objective
        fast = lightning.find(objective.lightning, near) if objective.pictures == "lightning" else None
        scheduler = DDPMScheduler.from_pretrained(base.folder, subfolder="scheduler")
        denoiser = cls(base.unet(device), scheduler, objective.min_snr, fast, objective.timestep_bias == "later")
        if settings.gradient_checkpointing:
            denoiser.unet.enable_gradient_checkpointing(denoiser._checkpoint)
        return denoiser

    @property
    def _predicts_v(self) -> bool:
        return bool(self.scheduler.config.prediction_type == "v_prediction")

    def __call__(self, noisy: Tensor, timesteps: Tensor, inputs: UNetInputs) -> Tensor:
        """What the UNet predicts (B, C, h, w), in float32, for `noisy` (B, C, h, w) at `timesteps` (B,)."""
        down, mid = inputs.residuals(noisy, timesteps) if inputs.residuals else (None, None)
        return self.unet(
            noisy,
            timesteps,
            encoder_hidden_states=inputs.encoder_hidden_states,
            added_cond_kwargs=inputs.added_cond_kwargs,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample.float()

    def loss(self, latents: Tensor, inputs: UNetInputs, random: RowRandom) -> Tensor:
        """L_diff = E_{t,ε} w_t·‖y - y_θ(x_t, c_τ, c_ref, c_body, t)‖² (method.md, section 4), where y is ε or
        v = α_t·ε - σ_t·x₀, and w_t is 1, or min-SNR's weight (Hang et al. 2023)."""
        noise = random.normal("noise", *latents.shape[1:])
        timesteps = self._timesteps(random)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        target = self.scheduler.get_velocity(latents, noise, timesteps) if self._predicts_v else noise
        errors = (self(noisy, timesteps, inputs) - target).square().mean(dim=(1, 2, 3))
        return (self._weights(timesteps) * errors).mean()

    def _timesteps(self, random: RowRandom) -> Tensor:
        """(B,) from 0 … T - 1: uniform, or as the larger of two is."""
        steps = self.scheduler.config.num_train_timesteps
        drawn = random.integers("timestep", steps)
        return drawn.maximum(random.integers("second timestep", steps)) if self._later else drawn

    def _weights(self, timesteps: Tensor) -> Tensor | float:
        """w_t (B,): an error of x₀ costs min(SNR, γ); in ε that is min(SNR, γ) / SNR, in v min(SNR, γ) / (SNR + 1)."""
        if self._min_snr is None:
            return 1.0
        snr = compute_snr(self.scheduler, timesteps)
        return snr.clamp(max=self._min_snr) / (snr + 1 if self._predicts_v else snr)

    def clean(self, latents: Tensor, inputs: UNetInputs, random: RowRandom, max_timestep: int) -> Tensor:
        """x₀ (B, C, h, w) as it is estimated in one step from a timestep in 1 … `max_timestep`, drawn per row."""
        noise = random.normal("clean noise", *latents.shape[1:])
        last = min(max_timestep, self.scheduler.config.num_train_timesteps - 1)
        timesteps = random.integers("clean timestep", last) + 1
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        alpha_2 = self.scheduler.alphas_cumprod.to(latents.device)[timesteps].view(-1, 1, 1, 1)
        alpha, sigma = alpha_2.sqrt(), (1 - alpha_2).sqrt()
        predicted = self(noisy, timesteps, inputs)
        return alpha * noisy - sigma * predicted if self._predicts_v else (noisy - sigma * predicted) / alpha

    def lightning(self, inputs: UNetInputs, random: RowRandom, shape: tuple[int, ...], first: int = 0) -> Tensor:
        """x₀ (B, *shape) of new pictures, as SDXL-Lightning (Lin et al. 2024) estimates it in one of its four steps
        from noise, without guidance: step `first` or a later one, drawn per row. That of the last step is the picture.

        Gradients go through that one step, as in ReFL (Xu et al. 2023): through all four they explode.
        Euler's x ← x + (σ' - σ)·ε, where here σ is σ_t / α_t, and the UNet sees x / √(σ² + 1).
        """
        scheduler = EulerDiscreteScheduler.from_config(self.scheduler.config, timestep_spacing="trailing")
        scheduler.set_timesteps(lightning.STEPS)
        noise = random.normal("lightning noise", *shape)
        rows = torch.arange(len(noise), device=noise.device)
        timesteps, sigmas = scheduler.timesteps.to(noise.device), scheduler.sigmas.to(noise.device)
        latents = noise * sigmas[0]
        reached = [latents]
        with self._lightning():
            with torch.no_grad():
                for timestep, sigma, following in zip(timesteps[:-1], sigmas[:-2], sigmas[1:-1], strict=True):
                    slope = self._slope(latents, timestep.expand(len(rows)), sigma.expand(len(rows)), inputs)
                    latents = latents + (following - sigma) * slope
                    reached.append(latents)
            steps = random.integers("lightning step", lightning.STEPS - first) + first
            latents, sigma = torch.stack(reached)[steps, rows], sigmas[steps]
            return latents - sigma.view(-1, 1, 1, 1) * self._slope(latents, timesteps[steps], sigma, inputs)

    def _slope(self, latents: Tensor, timesteps: Tensor, sigma: Tensor, inputs: UNetInputs) -> Tensor:
        """ε at `latents` (B, C, h, w) = x₀ + σ·ε, by what the UNet predicts; sigma (B,)."""
        sigma = sigma.view(-1, 1, 1, 1)
        noisy = latents / (sigma**2 + 1).sqrt()
        predicted = self(noisy, timesteps, inputs)
        return (predicted + sigma * noisy) / (sigma**2 + 1).sqrt() if self._predicts_v else predicted

    @contextmanager
    def _lightning(self) -> Iterator[None]:
        """The UNet with Lightning's LoRA. It is added at the first call, for it has to come after the method's own
        layers."""
        if self._fast is None:
            raise BolidError('the denoiser has no Lightning weights; set [train.objective] pictures = "lightning"')
        if not self._attached:
            lightning.attach(self.unet, self._fast)
            self._attached = True
        self._is_fast = True
        try:
            with lightning.enabled(self.unet):
                yield
        finally:
            self._is_fast = False

    def _checkpoint(self, module: Any, *args: Any) -> Any:
        """Gradient checkpointing of a part of the UNet: it is computed again with the LoRA where it was with it."""
        again = lightning.enabled(module) if self._is_fast else nullcontext()
        return checkpoint(module, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), again))

"""The denoiser: the frozen UNet with its noise schedule, and all that is computed with both. No other module uses a
schedule."""

import math
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
from bolid_train.diffusion.precision import training_precision
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs, residuals

_REFERENCE_SIDE = 16
"""Side of the latents whose timesteps `[train.objective] max_timestep` counts."""


class Denoiser:
    """ε_θ(x_t, c, t), or v_θ if the base predicts v (Salimans and Ho 2022), and the training loss on it.

    Shapes: B rows; latents (B, C, h, w), scaled for the UNet. α_t² is the scheduler's `alphas_cumprod`,
    σ_t² = 1 - α_t², and x_t = α_t·x₀ + σ_t·ε.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: DDPMScheduler,
        min_snr: float | None = None,
        lightning_file: Path | None = None,
        prefer_late: bool = False,
    ) -> None:
        """`min_snr`: γ of min-SNR weighting. `lightning_file`: Lightning's LoRA, for `lightning`. `prefer_late`: sample
        late timesteps more often, in proportion to t."""
        kind = scheduler.config.prediction_type
        if kind not in ("epsilon", "v_prediction"):
            raise BolidError(f"the base predicts '{kind}'; name a base that predicts 'epsilon' or 'v_prediction'")
        self.unet, self.scheduler, self._min_snr = unet, scheduler, min_snr
        self._dtype = unet.dtype  # looked up once: each time, diffusers walks through all modules
        self._lightning_file, self._prefer_late = lightning_file, prefer_late
        self._lightning_attached, self._lightning_enabled = False, False

    @classmethod
    def from_settings(cls, base: Base, settings: Train, device: torch.device, relative_to: Path = Path()) -> "Denoiser":
        """The base's UNet with the training schedule of its scheduler's configuration. `relative_to`: the folder to
        which paths in the settings are relative."""
        objective = settings.objective
        lightning_file = (
            lightning.resolve(objective.lightning, relative_to) if objective.pictures == "lightning" else None
        )
        scheduler = DDPMScheduler.from_pretrained(base.folder, subfolder="scheduler")
        prefer_late = objective.timestep_bias == "later"
        unet = base.unet(device, training_precision(settings, device).models)
        denoiser = cls(unet, scheduler, objective.min_snr, lightning_file, prefer_late)
        if settings.gradient_checkpointing:
            denoiser.unet.enable_gradient_checkpointing(denoiser._checkpoint)
        return denoiser

    @property
    def _predicts_v(self) -> bool:
        return bool(self.scheduler.config.prediction_type == "v_prediction")

    def __call__(self, noisy: Tensor, timesteps: Tensor, inputs: UNetInputs) -> Tensor:
        """The UNet's prediction (B, C, h, w), in float32, for `noisy` (B, C, h, w) at `timesteps` (B,)."""
        inputs, noisy = inputs.to(self._dtype), noisy.to(self._dtype)
        return self.unet(
            noisy,
            timesteps,
            encoder_hidden_states=inputs.encoder_hidden_states,
            added_cond_kwargs=inputs.added_cond_kwargs,
            cross_attention_kwargs=inputs.cross_attention_kwargs or None,
            **residuals([inputs], noisy, timesteps),
        ).sample.float()

    def loss(self, latents: Tensor, inputs: UNetInputs, random: RowRandom, where: Tensor | None = None) -> Tensor:
        """L_diff = E_{t,ε} w_t·‖y - y_θ(x_t, c_τ, c_ref, c_body, t)‖² (method.md, section 4), where y is ε or
        v = α_t·ε - σ_t·x₀, and w_t is 1, or min-SNR's weight (Hang et al. 2023).

        `where`: the weight (B, 1, h, w) of each latent pixel in its row's mean; by default, all weigh the same.
        """
        noise = random.normal("noise", *latents.shape[1:])
        timesteps = self._timesteps(random)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        target = self.scheduler.get_velocity(latents, noise, timesteps) if self._predicts_v else noise
        squares = (self(noisy, timesteps, inputs) - target).square()
        errors = squares.mean(dim=(1, 2, 3))
        if where is not None:
            errors = (squares.mean(dim=1, keepdim=True) * where).sum(dim=(1, 2, 3)) / where.sum(dim=(1, 2, 3))
        return (self._weights(timesteps) * errors).mean()

    def _timesteps(self, random: RowRandom) -> Tensor:
        """(B,) from 0 … T - 1: uniform, or the larger of two uniform draws."""
        steps = self.scheduler.config.num_train_timesteps
        timesteps = random.integers("timestep", steps)
        return timesteps.maximum(random.integers("second timestep", steps)) if self._prefer_late else timesteps

    def _weights(self, timesteps: Tensor) -> Tensor | float:
        """w_t (B,): min(SNR, γ) for errors in x₀, which is min(SNR, γ) / SNR in ε and min(SNR, γ) / (SNR + 1) in v."""
        if self._min_snr is None:
            return 1.0
        snr = compute_snr(self.scheduler, timesteps)
        return snr.clamp(max=self._min_snr) / (snr + 1 if self._predicts_v else snr)

    def clean(
        self, latents: Tensor, inputs: UNetInputs, random: RowRandom, min_timestep: int, max_timestep: int
    ) -> Tensor:
        """x₀ (B, C, h, w), estimated in one step from a timestep in `min_timestep` … `max_timestep`, sampled per row.

        Timesteps are those of latents of 16×16, and are shifted for larger ones.
        """
        noise = random.normal("clean noise", *latents.shape[1:])
        last = min(max_timestep, self.scheduler.config.num_train_timesteps - 1)
        first = min(min_timestep, last)
        timesteps = self.shifted(random.integers("clean timestep", last - first + 1) + first, *latents.shape[2:])
        return self.estimate(latents, noise, timesteps, inputs)

    def estimate(self, latents: Tensor, noise: Tensor, timesteps: Tensor, inputs: UNetInputs) -> Tensor:
        """x₀ (B, C, h, w) in one step from `latents` with `noise`, both (B, C, h, w), at `timesteps` (B,)."""
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        alpha_2 = self.scheduler.alphas_cumprod.to(latents.device)[timesteps].view(-1, 1, 1, 1)
        alpha, sigma = alpha_2.sqrt(), (1 - alpha_2).sqrt()
        predicted = self(noisy, timesteps, inputs)
        return alpha * noisy - sigma * predicted if self._predicts_v else (noisy - sigma * predicted) / alpha

    def shifted(self, timesteps: Tensor, height: int, width: int) -> Tensor:
        """The timesteps at which as much of an image can be seen in latents of `height` × `width` as at `timesteps`
        (B,) in latents of 16×16; of smaller ones, `timesteps` themselves.

        Neighbouring pixels show the same, so an image of n times the side is as visible behind n times the noise: its
        log-SNR is lower by 2·ln(n) (Hoogeboom et al. 2023, simple diffusion).
        """
        alpha_2 = self.scheduler.alphas_cumprod.double()
        log_snr = (alpha_2 / (1 - alpha_2)).log().to(timesteps.device)  # falls with t
        wanted = log_snr[timesteps] - max(0.0, math.log(height * width / _REFERENCE_SIDE**2))
        return torch.searchsorted(-log_snr, -wanted).clamp(max=len(log_snr) - 1)

    def lightning(self, inputs: UNetInputs, random: RowRandom, shape: tuple[int, ...], first: int = 0) -> Tensor:
        """x₀ (B, *shape) of new images, as estimated in one of SDXL-Lightning's four steps from noise (Lin et al.
        2024), without guidance. The step is `first` or later, sampled per row; the last gives the final image.

        Gradients flow through that step only, as in ReFL (Xu et al. 2023), because through all four they explode.
        Euler's step is x ← x + (σ' - σ)·ε, where σ is σ_t / α_t, and the UNet's input is x / √(σ² + 1).
        """
        scheduler = EulerDiscreteScheduler.from_config(self.scheduler.config, timestep_spacing="trailing")
        scheduler.set_timesteps(lightning.STEPS)
        noise = random.normal("lightning noise", *shape)
        rows = torch.arange(len(noise), device=noise.device)
        timesteps, sigmas = scheduler.timesteps.to(noise.device), scheduler.sigmas.to(noise.device)
        latents = noise * sigmas[0]
        trajectory = [latents]
        with self._lightning():
            with torch.no_grad():
                for timestep, sigma, next_sigma in zip(timesteps[:-1], sigmas[:-2], sigmas[1:-1], strict=True):
                    slope = self._slope(latents, timestep.expand(len(rows)), sigma.expand(len(rows)), inputs)
                    latents = latents + (next_sigma - sigma) * slope
                    trajectory.append(latents)
            steps = random.integers("lightning step", lightning.STEPS - first) + first
            latents, sigma = torch.stack(trajectory)[steps, rows], sigmas[steps]
            return latents - sigma.view(-1, 1, 1, 1) * self._slope(latents, timesteps[steps], sigma, inputs)

    def _slope(self, latents: Tensor, timesteps: Tensor, sigma: Tensor, inputs: UNetInputs) -> Tensor:
        """The predicted ε at `latents` (B, C, h, w) = x₀ + σ·ε; sigma (B,)."""
        sigma = sigma.view(-1, 1, 1, 1)
        noisy = latents / (sigma**2 + 1).sqrt()
        predicted = self(noisy, timesteps, inputs)
        return (predicted + sigma * noisy) / (sigma**2 + 1).sqrt() if self._predicts_v else predicted

    @contextmanager
    def _lightning(self) -> Iterator[None]:
        """Enables Lightning's LoRA on the UNet. It is attached at the first call, because it must come after the
        method's layers."""
        if self._lightning_file is None:
            raise BolidError('the denoiser has no Lightning weights; set [train.objective] pictures = "lightning"')
        if not self._lightning_attached:
            lightning.attach(self.unet, self._lightning_file)
            self._lightning_attached = True
        self._lightning_enabled = True
        try:
            with lightning.enabled(self.unet):
                yield
        finally:
            self._lightning_enabled = False

    def _checkpoint(self, module: Any, *args: Any) -> Any:
        """Gradient checkpointing of a UNet block: it is recomputed with the LoRA if it was computed with the LoRA."""
        recompute = lightning.enabled(module) if self._lightning_enabled else nullcontext()
        return checkpoint(module, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), recompute))

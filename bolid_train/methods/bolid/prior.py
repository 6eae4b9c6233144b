"""The text-conditional prior p(c_body | text): samples bodies for prompts without photos.

A conditional flow (Lipman et al. 2023; rectified flow, Liu et al. 2023): x_t = (1 - t) x_0 + t x_1 interpolates between
noise x_0 ~ N(0, I) and a body x_1, a network learns the velocity x_1 - x_0 from x_t, t and the prompt, and a body is
sampled by integrating it from t = 0 to 1. diffusers' PriorTransformer is not used: it ties the body's width to the
text's, is made to denoise CLIP embeddings, and needs a noise schedule and a sampler; a flow needs none of these.
"""

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from bolid_train.diffusion.rng import RowRandom
from bolid_train.files import accept_old_name

_WIDTH = 256
_QUERIES = 8
_BLOCKS = 3
_STEPS = 16
_DROP = 0.1  # share of rows without text in training, for classifier-free guidance


class BodyPrior(nn.Module):
    """Samples bodies (B, C) for prompts (B, L, D); C and D are free.

    Before training, its velocity is zero: it samples from N(0, I), or, after `fit_scale`, from N(mean, std²) of the
    bodies.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body_dim: int, text_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(body_dim))
        self.register_buffer("std", torch.ones(body_dim))
        self.text = _TextEncoder(text_dim)
        self.body = nn.Linear(body_dim, _WIDTH)
        # diffusers' sinusoids are made for 1000 timesteps.
        self.time_proj = Timesteps(_WIDTH, flip_sin_to_cos=True, downscale_freq_shift=0, scale=1000)
        self.time = TimestepEmbedding(_WIDTH, _WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(_BLOCKS))
        self.norm = nn.LayerNorm(_WIDTH)
        self.velocity = nn.Linear(_WIDTH, body_dim)
        nn.init.zeros_(self.velocity.weight)
        nn.init.zeros_(self.velocity.bias)

    @torch.no_grad()
    def fit_scale(self, bodies: Tensor) -> None:
        """Sets the mean and standard deviation per dimension to those of bodies (N, C), N ≥ 2."""
        self.mean.copy_(bodies.mean(dim=0))
        self.std.copy_(bodies.std(dim=0).clamp_min(1e-4))

    def loss(self, bodies: Tensor, prompt_embeds: Tensor, random: RowRandom) -> Tensor:
        """E ‖v_θ(x_t, t, text) - (x_1 - x_0)‖² per dimension, of bodies (B, C) and their prompts (B, L, D)."""
        end = (bodies - self.mean) / self.std
        start = random.normal("prior", len(self.mean)).to(end)
        time = random.uniform("prior time").to(end)
        dropped = random.uniform("prior drop").to(end) < _DROP
        text = self.text(prompt_embeds.to(end).masked_fill(dropped[:, None, None], 0))
        interpolated = torch.lerp(start, end, time[:, None])
        return (self._velocities(interpolated, time, text) - (end - start)).square().mean()

    @torch.no_grad()
    def sample(self, prompt_embeds: Tensor, random: RowRandom, guidance: float = 2.0) -> Tensor:
        """Bodies (B, C) for prompts (B, L, D), by Euler steps from each row's noise.

        guidance: scale of classifier-free guidance (Ho and Salimans 2022); 1 samples from p(c_body | text).
        """
        bodies = random.normal("prior", len(self.mean)).to(self.mean)
        prompts = prompt_embeds.to(self.mean)
        text = self.text(torch.cat([prompts, torch.zeros_like(prompts)]))
        for step in range(_STEPS):
            time = bodies.new_full((len(text),), step / _STEPS)
            conditional, unconditional = self._velocities(torch.cat([bodies, bodies]), time, text).chunk(2)
            bodies = bodies + (unconditional + guidance * (conditional - unconditional)) / _STEPS
        return self.mean + self.std * bodies

    def _velocities(self, bodies: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """Velocities (B, C) at standardised bodies x_t (B, C), times (B,) in 0 … 1 and encoded texts (B, F)."""
        hidden, condition = self.body(bodies), text + self.time(self.time_proj(time).to(bodies))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.velocity(self.norm(hidden))


class _TextEncoder(nn.Module):
    """Learned queries attend to a prompt's tokens: (B, L, D) to one vector (B, F), once for all steps of a sample."""

    def __init__(self, text_dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, _WIDTH))
        self.queries = nn.Parameter(torch.randn(_QUERIES, _WIDTH))
        self.attention = nn.MultiheadAttention(_WIDTH, num_heads=4, batch_first=True)
        self.merge = nn.Linear(_QUERIES * _WIDTH, _WIDTH)

    def forward(self, texts: Tensor) -> Tensor:
        context = self.project(texts)
        queries = self.queries.expand(len(texts), -1, -1)
        return self.merge(self.attention(queries, context, context, need_weights=False)[0].flatten(1))


class _Block(nn.Module):
    """A residual MLP that time and text shift, scale and gate (AdaLN, Peebles and Xie 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH, elementwise_affine=False)
        self.modulate = nn.Sequential(nn.SiLU(), nn.Linear(_WIDTH, 3 * _WIDTH))
        self.mlp = nn.Sequential(nn.Linear(_WIDTH, 2 * _WIDTH), nn.SiLU(), nn.Linear(2 * _WIDTH, _WIDTH))
        accept_old_name(self, "mlp", old_name="think")

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """hidden and condition (B, F) to (B, F)."""
        shift, scale, gate = self.modulate(condition).chunk(3, dim=-1)
        return hidden + (1 + gate) * self.mlp(self.norm(hidden) * (1 + scale) + shift)

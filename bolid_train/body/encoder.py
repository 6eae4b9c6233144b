"""The Body-ID encoder (method.md, section 2): the weighted views of one person become one vector `c_body`.

What a view is here: the frozen CLIP image embedding of the Gaussian-weighted photo, with its pose confidence.
An encoder is any module with this `forward`; a variational one returns its mean there and adds its KL term
through the method's `losses`, and a text-conditional prior takes the place of `Spread.draw`.
"""

import torch
from torch import Tensor, nn


class BodyEncoder(nn.Module):
    """A perceptron per view, then the mean over views weighted by pose confidence: permutation-invariant, masked."""

    def __init__(self, view_dim: int, body_dim: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.LayerNorm(view_dim), nn.Linear(view_dim, body_dim), nn.GELU(), nn.Linear(body_dim, body_dim)
        )
        self.norm = nn.LayerNorm(body_dim)

    def forward(self, views: Tensor, confidence: Tensor) -> Tensor:
        """Args: views (B, V, D) in any order; confidence (B, V), 0 where a view is padding. Returns c_body (B, C).

        A row without any view gives the encoding of nothing, never NaN; the caller draws its body from the prior.
        """
        # Padding may hold anything, NaN included, and 0 · NaN is NaN.
        views = views.masked_fill((confidence == 0)[..., None], 0)
        share = confidence / confidence.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return self.norm((share[..., None] * self.embed(views)).sum(dim=1))


class Spread(nn.Module):
    """First two moments, per dimension, of the bodies seen in training; a body is drawn from them when none
    is given."""

    mean: Tensor
    square: Tensor
    batches: Tensor

    def __init__(self, body_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(body_dim))
        self.register_buffer("square", torch.ones(body_dim))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, bodies: Tensor) -> None:
        """Takes in a batch (B, C): the plain average at first, a running one (over 100 batches) later."""
        self.batches += 1
        rate = max(0.01, 1 / int(self.batches))
        self.mean.lerp_(bodies.float().mean(dim=0), rate)
        self.square.lerp_(bodies.float().square().mean(dim=0), rate)

    def draw(self, count: int) -> Tensor:
        """Bodies (count, C) from N(mean, variance), by the global random state."""
        deviation = (self.square - self.mean.square()).clamp_min(0).sqrt()
        return self.mean + deviation * torch.randn(count, len(self.mean), device=self.mean.device)

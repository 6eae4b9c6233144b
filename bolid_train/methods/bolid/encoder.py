"""The Body-ID encoder (method.md, section 2): encodes the weighted views of a person to one vector `c_body`.

Each view is encoded to a feature (`view_encoder.py`), and an aggregator combines any number of features regardless of
their order. There is no batch normalisation, because a row must not depend on other rows.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from bolid_train.data.proportions import PROPORTIONS
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.view_encoder import ViewEncoder

WIDTH = 256
_INITIAL_LOG_VARIANCE = -4.0  # bodies of different people differ by far more than samples of one
_LOG_VARIANCE_RANGE = (-10.0, 2.0)


@dataclass(frozen=True)
class Posterior:
    """q(c_body | views) = N(mean, exp(log_variance)) per dimension; a plain encoder gives only the mean."""

    mean: Tensor  # (B, C)
    log_variance: Tensor | None  # (B, C)

    def sample(self, noise: Tensor) -> Tensor:
        """Bodies (B, C), differentiable, from noise (B, C) ~ N(0, I) (Kingma and Welling 2014, section 2.4)."""
        if self.log_variance is None:
            return self.mean
        return self.mean + (self.log_variance / 2).exp() * noise

    def kl(self, free_bits: float) -> Tensor:
        """Σ_d max(λ, KL(q_d ‖ N(0, 1))) in nats, (B,): the first λ = `free_bits` of a dimension are free (Kingma et
        al. 2016, appendix C.8, here per row). Zeros for a plain encoder."""
        if self.log_variance is None:
            return self.mean.new_zeros(len(self.mean))
        nats = (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2
        return nats.clamp_min(free_bits).sum(dim=1)


class BodyEncoder(nn.Module):
    """1 … V views of each of B people to a posterior of c_body."""

    def __init__(
        self,
        view_dim: int,
        latent_channels: int,
        body_dim: int,
        *,
        variational: bool = True,
        aggregator: Literal["mean", "attention"] = "mean",
        keypoints: int = 17,
        min_confidence: float = 0.5,
    ) -> None:
        """Args: view_dim, of the CLIP embeddings; latent_channels, of the VAE; keypoints in use, 17 or 12."""
        super().__init__()
        self.view = ViewEncoder(view_dim, latent_channels, WIDTH, keypoints=keypoints, min_confidence=min_confidence)
        self.attention = _attention() if aggregator == "attention" else None
        self.norm = nn.LayerNorm(WIDTH)
        self.mean = nn.Linear(WIDTH, body_dim)
        self.log_variance = nn.Linear(WIDTH, body_dim) if variational else None
        if self.log_variance is not None:
            nn.init.zeros_(self.log_variance.weight)
            nn.init.constant_(self.log_variance.bias, _INITIAL_LOG_VARIANCE)
        self.proportions = nn.Linear(body_dim, len(PROPORTIONS))

    def forward(self, views: BodyViews) -> Posterior:
        """Padding, where `views.confidence` is 0, may be anything. A row without views gives finite but meaningless
        values: the caller samples its body from the prior."""
        body = self.norm(self._aggregate(self.view(views), views.confidence))
        if self.log_variance is None:
            return Posterior(self.mean(body), None)
        return Posterior(self.mean(body), self.log_variance(body).clamp(*_LOG_VARIANCE_RANGE))

    def predict_proportions(self, bodies: Tensor) -> Tensor:
        """Log proportions (B, 7) predicted from bodies (B, C)."""
        return self.proportions(bodies)

    def _aggregate(self, features: Tensor, confidence: Tensor) -> Tensor:
        """Features (B, V, F) and pose confidence (B, V) to (B, F): the confidence-weighted mean, which repeating all
        views does not change."""
        if self.attention is not None:
            # Log-confidence added to the scores weights the keys by confidence; a row of only -inf would give NaN.
            bias = confidence.log().masked_fill((confidence == 0).all(dim=1, keepdim=True), 0)
            features = self.attention(features, src_key_padding_mask=bias)
        weights = confidence / confidence.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return torch.einsum("bv,bvf->bf", weights, features)


def _attention() -> nn.TransformerEncoder:
    """Self-attention over views: the authors' prototype."""
    # Not GELU: with it torch takes a fast path in evaluation that treats the bias of the keys as a boolean mask.
    layer = nn.TransformerEncoderLayer(
        WIDTH, nhead=4, dim_feedforward=2 * WIDTH, dropout=0, activation=silu, batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)

"""The projections of published IP-Adapters: from an image's features to tokens of the text's width.

Each has the names of its layout, and reads its sizes from a state dict (`like`). B rows, S tokens of features E wide,
tokens D wide.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bolid_data.errors import BolidError
from bolid_train.methods.layers.resampler import HEAD_DIM, Perceiver, PerceiverSize, Resampler

TOKENS = 4
"""Tokens of the plain layout and of FaceID."""


class EmbeddingProjection(nn.Module):
    """Plain: LN(reshape(proj e)) (Ye et al. 2023, section 3.2.1)."""

    def __init__(self, features: int, width: int, tokens: int = TOKENS) -> None:
        super().__init__()
        self.proj = nn.Linear(features, tokens * width)
        self.norm = nn.LayerNorm(width)

    @classmethod
    def like(cls, weights: Mapping[str, Tensor]) -> "EmbeddingProjection":
        """One that the state dict fits."""
        (rows, features), width = weights["proj.weight"].shape, len(weights["norm.weight"])
        return cls(features, width, _tokens(rows, width))

    def forward(self, embeds: Tensor) -> Tensor:
        """Embeddings (B, E) to tokens (B, T, D)."""
        return self.norm(self.proj(embeds).unflatten(-1, (-1, self.norm.normalized_shape[0])))


class FullProjection(nn.Module):
    """Full face: LN(W₂ GELU(W₀ c)), a token for each token of the image encoder."""

    def __init__(self, features: int, width: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or features
        self.proj = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, width), nn.LayerNorm(width))

    @classmethod
    def like(cls, weights: Mapping[str, Tensor]) -> "FullProjection":
        """One that the state dict fits."""
        hidden, features = weights["proj.0.weight"].shape
        return cls(features, weights["proj.2.weight"].shape[0], hidden)

    @property
    def ends(self) -> tuple[int, int]:
        """E and D."""
        return self.proj[0].in_features, self.proj[2].out_features  # type: ignore[return-value]

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, S, E) to tokens (B, S, D)."""
        return self.proj(features)


class FaceProjection(nn.Module):
    """FaceID: LN(reshape(W₂ GELU(W₀ e))), of a face embedding."""

    def __init__(self, features: int, width: int, tokens: int = TOKENS, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or 2 * features
        self.proj = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, tokens * width))
        self.norm = nn.LayerNorm(width)

    @classmethod
    def like(cls, weights: Mapping[str, Tensor]) -> "FaceProjection":
        """One that the state dict fits."""
        (hidden, features), width = weights["proj.0.weight"].shape, len(weights["norm.weight"])
        return cls(features, width, _tokens(weights["proj.2.weight"].shape[0], width), hidden)

    @property
    def ends(self) -> tuple[int, ...]:
        """E and D."""
        return self.proj[0].in_features, self.norm.normalized_shape[0]  # type: ignore[return-value]

    def forward(self, embeds: Tensor) -> Tensor:
        """Embeddings (B, E) to tokens (B, T, D)."""
        return self.norm(self.proj(embeds).unflatten(-1, (-1, self.norm.normalized_shape[0])))


class FacePlusProjection(FaceProjection):
    """FaceID Plus: the face's tokens X attend to the image encoder's features. Version 1 gives P, what they become;
    version 2 gives X + s·P."""

    def __init__(
        self, features: int, perceiver: PerceiverSize, tokens: int = TOKENS, hidden: int | None = None
    ) -> None:
        super().__init__(features, perceiver.width, tokens, hidden)
        self.perceiver_resampler = Perceiver(perceiver)

    @classmethod
    def like(cls, weights: Mapping[str, Tensor], head_dim: int = HEAD_DIM) -> "FacePlusProjection":
        """One that the state dict fits."""
        prefix = "perceiver_resampler."
        inner = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        (hidden, features), width = weights["proj.0.weight"].shape, len(weights["norm.weight"])
        tokens = _tokens(weights["proj.2.weight"].shape[0], width)
        return cls(features, PerceiverSize.of(inner, head_dim), tokens, hidden)

    @property
    def ends(self) -> tuple[int, ...]:
        """F, D and E."""
        return (*super().ends, self.perceiver_resampler.size.features)

    def forward(  # type: ignore[override]
        self, embeds: Tensor, features: Tensor, shortcut: float | None = None
    ) -> Tensor:
        """Tokens (B, T, D) of face embeddings (B, F) and features (B, S, E). `shortcut`: s of version 2."""
        face = super().forward(embeds)
        attended = self.perceiver_resampler(features, face)
        return attended if shortcut is None else face + shortcut * attended


def projection_like(weights: Mapping[str, Tensor], path: Path, head_dim: int = HEAD_DIM) -> nn.Module:
    """The projection whose layout `weights`, the `image_proj` of the file `path`, has: on the meta device, so without
    the weights themselves. Raises BolidError, naming the file, for an unknown layout."""
    try:
        with torch.device("meta"):
            if "latents" in weights:
                return Resampler.like(weights, head_dim)
            if any(name.startswith("perceiver_resampler.") for name in weights):
                return FacePlusProjection.like(weights, head_dim)
            if "proj.3.weight" in weights:
                return FullProjection.like(weights)
            if "proj.0.weight" in weights:
                return FaceProjection.like(weights)
            return EmbeddingProjection.like(weights)
    except (KeyError, ValueError, TypeError, RuntimeError, ZeroDivisionError, BolidError) as error:
        raise BolidError(f"{path}: its 'image_proj' is of no known layout ({error})") from None


def _tokens(rows: int, width: int) -> int:
    if rows % width:
        raise BolidError(f"{rows} numbers are no whole number of tokens of {width}")
    return rows // width

"""The perceiver that turns image features into tokens: IP-Adapter Plus (Ye et al. 2023), InstantID (Wang et al. 2024)
and PhotoMaker v2 (Li et al. 2024) share it, after Flamingo's resampler (Alayrac et al. 2022).

State dicts have the names of the published checkpoints. B rows, S tokens of features E wide, Q latents D wide, and
results O wide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from bolid_data.errors import BolidError

HEAD_DIM = 64
"""Numbers of an attention head in the published resamplers; the weights do not tell. PhotoMaker v2's has 128."""


@dataclass(frozen=True)
class PerceiverSize:
    """The sizes of a perceiver."""

    features: int  # E
    width: int  # D
    output: int  # O
    heads: int
    head_dim: int = HEAD_DIM
    depth: int = 4
    expansion: int = 4  # the feed-forward layers are this many times as wide

    @classmethod
    def usual(cls, features: int, text: int, width: int | None = None, depth: int = 4) -> "PerceiverSize":
        """The published sizes for tokens `text` wide: a resampler five eighths as wide, which is 1280 for SDXL, or
        `width` wide, of as many heads as fit."""
        width = width or max(1, round(5 / 8 * text / HEAD_DIM)) * HEAD_DIM
        return cls(features, width, text, width // HEAD_DIM, depth=depth)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], head_dim: int = HEAD_DIM) -> "PerceiverSize":
        """The sizes of a state dict; `head_dim` cannot be read from it. Raises BolidError for one that is not a
        perceiver's."""
        try:
            width, features = weights["proj_in.weight"].shape
            output = weights["proj_out.weight"].shape[0]
            inner = weights["layers.0.0.to_q.weight"].shape[0]
            hidden = weights["layers.0.1.1.weight"].shape[0]
        except (KeyError, ValueError) as error:
            raise BolidError(f"these are not the weights of a resampler ({error})") from None
        depth = len({name.split(".")[1] for name in weights if name.startswith("layers.")})
        if inner % head_dim or hidden % width:
            raise BolidError(f"a resampler with {inner} numbers for heads of {head_dim} is not possible")
        return cls(features, width, output, inner // head_dim, head_dim, depth, hidden // width)


class Perceiver(nn.Module):
    """Latents that are given attend to features: `Resampler` without latents of its own."""

    def __init__(self, size: PerceiverSize) -> None:
        super().__init__()
        self.size = size
        self.proj_in = nn.Linear(size.features, size.width)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(size.width, size.heads, size.head_dim), feed_forward(size)])
            for _ in range(size.depth)
        )
        self.proj_out = nn.Linear(size.width, size.output)
        self.norm_out = nn.LayerNorm(size.output)

    @property
    def ends(self) -> tuple[int, int]:
        """E and O."""
        return self.size.features, self.size.output

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        """LN(proj_out(L)), (B, Q, O), from features (B, S, E) and latents L (B, Q, D), after L ← L + attention and
        L ← L + feed-forward in each layer."""
        context = self.proj_in(features)
        for layer in self.layers:
            attention, feed = layer.children()
            latents = latents + attention(context, latents)
            latents = latents + feed(latents)
        return self.norm_out(self.proj_out(latents))


class Resampler(Perceiver):
    """Any number of features to Q tokens."""

    def __init__(self, size: PerceiverSize, queries: int) -> None:
        super().__init__(size)
        self.latents = nn.Parameter(torch.randn(1, queries, size.width) / size.width**0.5)

    @classmethod
    def like(cls, weights: Mapping[str, Tensor], head_dim: int = HEAD_DIM) -> "Resampler":
        """One that the state dict fits. Raises BolidError for a state dict of something else."""
        if "latents" not in weights or weights["latents"].ndim != 3:
            raise BolidError("these are not the weights of a resampler (it has no 'latents')")
        return cls(PerceiverSize.of(weights, head_dim), weights["latents"].shape[1])

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Tokens (B, Q, O) of features (B, S, E), or of one for each row, (B, E)."""
        features = features.unsqueeze(1) if features.ndim == 2 else features
        return super().forward(features, self.latents.expand(len(features), -1, -1))


class PerceiverAttention(nn.Module):
    """Latents attend to the features and to themselves, in one softmax."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, context: Tensor, latents: Tensor) -> Tensor:
        """(B, Q, D), from context (B, S, D) and latents (B, Q, D)."""
        latents = self.norm2(latents)
        keys_and_values = self.to_kv(torch.cat([self.norm1(context), latents], dim=1))
        parts = (self.to_q(latents), *keys_and_values.chunk(2, dim=-1))
        heads = [part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts]
        return self.to_out(scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


def feed_forward(size: PerceiverSize) -> nn.Sequential:
    """W₃ GELU(W₁ LN(L)), without biases."""
    hidden = size.expansion * size.width
    return nn.Sequential(
        nn.LayerNorm(size.width),
        nn.Linear(size.width, hidden, bias=False),
        nn.GELU(),
        nn.Linear(hidden, size.width, bias=False),
    )

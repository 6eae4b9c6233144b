"""Attention that is fast on every device. On CPU the fused kernel's backward pass is slow, so the same is computed
unfused when gradients are needed; otherwise the fused kernel reproduces the base bit for bit."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import interpolate, scaled_dot_product_attention

KeysAndValues = Sequence[Tensor]
"""Of one branch: keys and values of the first layer, then of the next; each (B, P, T, C) for P photos of T tokens."""

Sampling = Literal["bicubic", "nearest"]
"""How a mask is resized to a layer: as in diffusers, or as in InstantID."""


class Attention(AttnProcessor2_0):
    """The UNet's attention without branches."""

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        processor = AttnProcessor if _unfused(hidden_states) else AttnProcessor2_0
        return processor.__call__(self, attn, hidden_states, *args, **kwargs)


class BranchedAttention:
    """SDXL's cross-attention with IP-Adapter branches, whose keys and values are given.

    Diffusers' processor would make them itself, of tokens: with two products per branch and layer, 280 of a few rows
    each, for which an accelerator takes longer to start than to compute.
    """

    def __init__(self, layer: int, scales: Sequence[float], sampling: Sampling = "bicubic") -> None:
        """`scales`: λ of each branch, which may change. `sampling`: how masks are resized to the layer."""
        self.layer, self.scales, self.sampling = layer, scales, sampling

    # `Attention.forward` passes on only what the signature names.
    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: tuple[Tensor, Sequence[KeysAndValues]],
        attention_mask: None = None,
        ip_adapter_masks: list[Tensor] | None = None,
    ) -> Tensor:
        """`encoder_hidden_states`: the text (B, L, D), and each branch's keys and values. `ip_adapter_masks`: one
        (1, P, H, W) per branch."""
        text, branches = encoder_hidden_states
        query = attn.to_q(hidden_states)
        output = _attend(attn, query, attn.to_k(text), attn.to_v(text))
        masks: Sequence[Tensor | None] = ip_adapter_masks or [None] * len(branches)
        for keys_and_values, scale, mask in zip(branches, self.scales, masks, strict=True):
            keys, values = self._of_layer(keys_and_values)
            if scale == 0:
                continue
            if mask is None:
                added = _attend(attn, query, keys.flatten(1, 2), values.flatten(1, 2))
                output = output + (added if scale == 1 else scale * added)
                continue
            for person in range(keys.shape[1]):
                added = _attend(attn, query, keys[:, person], values[:, person])
                weight = self._resized(mask[:, person], *added.shape)
                output = output + scale * (added * weight.to(added))
        to_out, dropout = attn.to_out
        return dropout(to_out(output))

    def _resized(self, mask: Tensor, rows: int, queries: int, channels: int) -> Tensor:
        if self.sampling == "bicubic":
            return IPAdapterMaskProcessor.downsample(mask, rows, queries, channels)
        return sample_region(mask[0], queries)[None, :, None]

    @torch.compiler.disable
    def _of_layer(self, keys_and_values: KeysAndValues) -> Sequence[Tensor]:
        """Not compiled: torch.compile would make a layer specific to its number, and compile each of them anew."""
        return keys_and_values[2 * self.layer : 2 * self.layer + 2]


def sample_region(mask: Tensor, queries: int) -> Tensor:
    """A region (H, W) of an image at a layer's n queries, (n,), row by row (InstantID, Wang et al. 2024).

    The layer's pixels are r = √(H·W/n) of the image's wide, and each takes the value at (⌊r·i⌋, ⌊r·j⌋).
    """
    height, width = mask.shape
    pixels = (height * width / queries) ** 0.5
    sampled = interpolate(mask[None, None], scale_factor=1 / pixels, mode="nearest").flatten()
    if len(sampled) == queries:
        return sampled
    # An image whose sides the UNet's layers do not divide: r is then a little different along either side.
    return interpolate(mask[None, None], _grid(height, width, queries), mode="nearest").flatten()


@cache
def _grid(height: int, width: int, queries: int) -> tuple[int, int]:
    """The rows and columns of a layer with so many queries: the divisors whose ratio is closest to the image's."""
    rows = [number for number in range(1, queries + 1) if queries % number == 0]
    best = min(rows, key=lambda number: abs(number * number / queries - height / width))
    return best, queries // best


def _attend(attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention of (B, N, C) to (B, T, C)."""
    if _unfused(query):
        parts = [attn.head_to_batch_dim(part) for part in (query, key, value)]
        scores = attn.get_attention_scores(parts[0], parts[1])
        return attn.batch_to_head_dim(torch.bmm(scores, parts[2]))
    heads = [part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value)]
    return scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


def _unfused(hidden_states: Tensor) -> bool:
    return torch.is_grad_enabled() and hidden_states.device.type == "cpu"

"""Attention that is fast on every device. On CPU the fused kernel's backward pass is slow, so the same is computed
unfused when gradients are needed; otherwise the fused kernel reproduces the base bit for bit."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

KeysAndValues = Sequence[Tensor]
"""Of one branch: keys and values of the first layer, then of the next; each (B, P, T, C) for P photos of T tokens."""


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

    def __init__(self, layer: int, scales: Sequence[float]) -> None:
        """`scales`: λ of each branch, which may change."""
        self.layer, self.scales = layer, scales

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
                weight = IPAdapterMaskProcessor.downsample(mask[:, person], *added.shape)
                output = output + scale * (added * weight.to(added))
        to_out, dropout = attn.to_out
        return dropout(to_out(output))

    @torch.compiler.disable
    def _of_layer(self, keys_and_values: KeysAndValues) -> Sequence[Tensor]:
        """Not compiled: torch.compile would make a layer specific to its number, and compile each of them anew."""
        return keys_and_values[2 * self.layer : 2 * self.layer + 2]


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

"""Attention that is quick where it runs: on CPU the fused kernel's backward pass is slow, so with gradients diffusers'
unfused processors compute the same; without them the fused ones give the base's own bits."""

from typing import Any

import torch
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
)
from torch import Tensor


class Attention(AttnProcessor2_0):
    """The UNet's own attention."""

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kind = AttnProcessor if _unfused(hidden_states) else AttnProcessor2_0
        return kind.__call__(self, attn, hidden_states, *args, **kwargs)


class BranchedAttention(IPAdapterAttnProcessor2_0):
    """Cross-attention with IP-Adapter branches."""

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kind = IPAdapterAttnProcessor if _unfused(hidden_states) else IPAdapterAttnProcessor2_0
        return kind.__call__(self, attn, hidden_states, *args, **kwargs)


def _unfused(hidden_states: Tensor) -> bool:
    return torch.is_grad_enabled() and hidden_states.device.type == "cpu"

"""Attention that is fast on every device. On CPU the fused kernel's backward pass is slow, so diffusers' unfused
processors compute the same when gradients are needed; otherwise the fused ones reproduce the base bit for bit."""

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
    """The UNet's attention without branches."""

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        processor = AttnProcessor if _unfused(hidden_states) else AttnProcessor2_0
        return processor.__call__(self, attn, hidden_states, *args, **kwargs)


class BranchedAttention(IPAdapterAttnProcessor2_0):
    """Cross-attention with IP-Adapter branches."""

    # `Attention.forward` passes on only what the signature names.
    def __call__(
        self, attn: Any, hidden_states: Tensor, *args: Any, ip_adapter_masks: list[Tensor] | None = None, **kwargs: Any
    ) -> Tensor:
        processor = IPAdapterAttnProcessor if _unfused(hidden_states) else IPAdapterAttnProcessor2_0
        return processor.__call__(self, attn, hidden_states, *args, ip_adapter_masks=ip_adapter_masks, **kwargs)


def _unfused(hidden_states: Tensor) -> bool:
    return torch.is_grad_enabled() and hidden_states.device.type == "cpu"

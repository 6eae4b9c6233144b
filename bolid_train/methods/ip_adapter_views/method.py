"""BoLID's predecessor: IP-Adapter on weighted views."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.methods.branched import BranchedMethod
from bolid_train.methods.ip_adapter_views.settings import Settings
from bolid_train.methods.spec import Shapes


class IpAdapterViews(BranchedMethod):
    """Method `ip-adapter-views`: CLIP embeddings of the weighted views, aggregated by self-attention (method.md, end of
    section 2). It has no prior: without views the body is zero."""

    def __init__(self, settings: Train, shapes: Shapes) -> None:
        width = shapes["view_embeds"][0]
        super().__init__(settings, {"body": width}, Settings.of(settings))
        self.encoder: ViewAttention = ViewAttention(width)

    def embeddings(self, batch: Batch) -> tuple[Sequence[Tensor], Any]:
        return [self.encoder(batch.features["view_embeds"], batch.views.confidence)], None


class ViewAttention(nn.Module):
    """Self-attention over views, then their confidence-weighted mean; independent of order and padding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, math.gcd(width, 8), 4 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        # It starts as the mean of the views, which is meaningful, and not as noise that L_diff would have to undo.
        for linear in (layer.self_attn.out_proj, layer.linear2):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.layers = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)

    def forward(self, embeds: Tensor, confidence: Tensor) -> Tensor:
        """Embeddings (B, V, D) and confidences (B, V) to bodies (B, D); zeros for a row without views."""
        padding = confidence == 0
        # Padding may be anything, even NaN; a row of padding alone must keep keys to attend to.
        embeds = embeds.masked_fill(padding[..., None], 0)
        hidden = self.layers(embeds, src_key_padding_mask=padding & ~padding.all(dim=1, keepdim=True))
        weights = confidence / confidence.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return torch.einsum("bv,bvd->bd", weights, hidden.float())

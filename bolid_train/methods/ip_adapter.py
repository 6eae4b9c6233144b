"""IP-Adapter (Ye et al. 2023), and the prototype that came before BoLID; both are told of a person by CLIP alone."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, Views
from bolid_train.methods.branched import Branched


class IpAdapter(Branched):
    """Method `ip-adapter`: the CLIP embedding of one reference photo. Of several photos, whoever makes the batch gives
    the mean."""

    def __init__(self, settings: Train, ref_dim: int) -> None:
        super().__init__(settings, ref_dim)
        self.widths = {"ref": ref_dim}

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        return [batch.image_embeds]


class IpAdapterViews(Branched):
    """Method `ip-adapter-views`: CLIP embeddings of the weighted views, made one by self-attention (method.md, end of
    section 2). It has no prior: without a view there is no body."""

    def __init__(self, settings: Train, ref_dim: int) -> None:
        super().__init__(settings, ref_dim)
        self.widths = {"body": ref_dim}
        self.encoder: ViewAttention = ViewAttention(ref_dim)

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        return [self.encoder(batch.views)]


class ViewAttention(nn.Module):
    """Self-attention over views, then their mean by confidence: neither their order nor their padding matters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, math.gcd(width, 8), 4 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        # It begins as the mean of the views, which means something, and not as noise that L_diff has to undo.
        for last in (layer.self_attn.out_proj, layer.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.layers = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)

    def forward(self, views: Views) -> Tensor:
        """A body (B, D) of embeddings (B, V, D); zeros where a row has no view."""
        padding = views.confidence == 0
        # Padding may hold anything, NaN included; a row of nothing else must keep something to attend to.
        embeds = views.embeds.masked_fill(padding[..., None], 0)
        hidden = self.layers(embeds, src_key_padding_mask=padding & views.given()[:, None])
        share = views.confidence / views.confidence.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return torch.einsum("bv,bvd->bd", share, hidden.float())

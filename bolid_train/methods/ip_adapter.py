"""IP-Adapter (Ye et al. 2023), and BoLID's predecessor; both know a person only by CLIP embeddings."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, Views
from bolid_train.methods.branched import BranchedMethod


class IpAdapter(BranchedMethod):
    """Method `ip-adapter`: the CLIP embedding of one reference photo; for several photos, the batch has their mean."""

    def __init__(self, settings: Train, ref_dim: int) -> None:
        super().__init__(settings, ref_dim)
        self.widths = {"ref": ref_dim}

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        return [batch.image_embeds]


class IpAdapterViews(BranchedMethod):
    """Method `ip-adapter-views`: CLIP embeddings of the weighted views, aggregated by self-attention (method.md, end of
    section 2). It has no prior: without views the body is zero."""

    def __init__(self, settings: Train, ref_dim: int) -> None:
        super().__init__(settings, ref_dim)
        self.widths = {"body": ref_dim}
        self.encoder: ViewAttention = ViewAttention(ref_dim)

    def embeddings(self, batch: Batch) -> Sequence[Tensor]:
        return [self.encoder(batch.views)]


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

    def forward(self, views: Views) -> Tensor:
        """Embeddings (B, V, D) to bodies (B, D); zeros for a row without views."""
        padding = views.confidence == 0
        # Padding may be anything, even NaN; a row of padding alone must keep keys to attend to.
        embeds = views.embeds.masked_fill(padding[..., None], 0)
        hidden = self.layers(embeds, src_key_padding_mask=padding & views.has_views()[:, None])
        weights = views.confidence / views.confidence.sum(dim=1, keepdim=True).clamp_min(1e-6)
        return torch.einsum("bv,bvd->bd", weights, hidden.float())

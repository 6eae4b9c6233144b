"""Encodes one weighted view of a body to a feature.

It combines three inputs: the view's CLIP embedding; the logarithms of all distances between joints, of which
proportions are differences; and the VAE's latents at the joints (pose-guided features, Miao et al. 2019), which show
the width of limbs. From pixels alone, a network this small does not learn.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, silu

from bolid_train.data.weighting import visible
from bolid_train.files import accept_old_name
from bolid_train.methods.bolid.body_views import BodyViews

_JOINTS = 17
_PAIRS = torch.triu_indices(_JOINTS, _JOINTS, offset=1)  # (2, 136)
_MIN_DISTANCE = 1e-3  # in sides of the photo, to bound logarithms
_PATCH = 3  # side of the patch around a joint, in latent pixels


class ViewEncoder(nn.Module):
    """Views (B, V) to features (B, V, F)."""

    def __init__(self, view_dim: int, latent_channels: int, width: int, *, keypoints: int, min_confidence: float):
        super().__init__()
        self.keypoints, self.min_confidence = keypoints, min_confidence
        self.embed = nn.Sequential(nn.LayerNorm(view_dim), nn.Linear(view_dim, width))
        self.measure = nn.Linear(_PAIRS.shape[1] + _JOINTS, width)
        self.patch_proj = nn.Linear(_JOINTS * latent_channels * _PATCH**2, width)
        accept_old_name(self, "patch_proj", old_name="look")
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, views: BodyViews) -> Tensor:
        """Features (B, V, F); finite for padding."""
        shape = views.confidence.shape
        padding = (views.confidence == 0).flatten()
        # Padding may be NaN, which multiplying by 0 would keep.
        embeds, latents, keypoints, sizes = (
            values.flatten(0, 1).masked_fill(padding.view(-1, *[1] * (values.ndim - 2)), 0)
            for values in (views.embeds, views.latents, views.keypoints, views.sizes)
        )
        mask = visible(keypoints, 1, 1, self.min_confidence, self.keypoints)
        positions = keypoints[..., :2].masked_fill(~mask[..., None], 0)
        isotropic = positions * (sizes / sizes.amax(dim=1, keepdim=True).clamp_min(1))[:, None]
        distances = torch.cat([log_distances(isotropic, mask), mask.to(positions)], dim=1)
        patches = patches_at(latents, positions, mask).flatten(1)
        features = silu(self.embed(embeds) + self.measure(distances) + self.patch_proj(patches))
        return (features + self.mix(features)).unflatten(0, shape)


def log_distances(positions: Tensor, mask: Tensor) -> Tensor:
    """Logarithms (N, 136) of the distances between joints, less their mean, so that they do not depend on scale.

    Args: positions (N, 17, 2) in sides of the photo; mask, bool (N, 17), the visible joints. Other pairs give 0.
    """
    first, second = _PAIRS.to(positions.device)
    both = mask[:, first] & mask[:, second]
    lengths = (positions[:, first] - positions[:, second]).norm(dim=-1).clamp_min(_MIN_DISTANCE)
    distances = lengths.log().masked_fill(~both, 0)
    mean = distances.sum(dim=1, keepdim=True) / both.sum(dim=1, keepdim=True).clamp_min(1)
    return (distances - mean).masked_fill(~both, 0)


def patches_at(latents: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    """Patches of latents around the joints, by bilinear interpolation.

    Args: latents (N, C, h, w) of views resized to squares; positions (N, 17, 2) as fractions of the photo's width and
    height; mask, bool (N, 17), the visible joints.

    Returns: (N, 17, 9 · C), zeros for other joints.
    """
    steps = torch.arange(_PATCH, device=positions.device) - _PATCH // 2
    offsets = torch.cartesian_prod(steps, steps) / positions.new_tensor([latents.shape[-1], latents.shape[-2]])
    grid = 2 * (positions[:, :, None] + offsets) - 1  # (N, 17, 9, 2); -1 and 1 are the edges of the view
    patches = grid_sample(latents, grid.to(latents), padding_mode="border", align_corners=False)  # (N, C, 17, 9)
    return patches.permute(0, 2, 1, 3).flatten(2).masked_fill(~mask[..., None], 0)

"""What one weighted view tells of a body, as one feature.

Three readings are put together: the view's CLIP embedding; the logarithms of all distances between joints, of which
proportions are differences; and the VAE's latents at the joints (pose-guided features, Miao et al. 2019), which tell
how wide a limb is. From pixels alone a network this small does not begin to learn.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, silu

from bolid_train.data.batch import Views
from bolid_train.data.weighting import visible

_JOINTS = 17
_PAIRS = torch.triu_indices(_JOINTS, _JOINTS, offset=1)  # (2, 136)
_NEAR = 1e-3  # the least distance, in sides of the photo, so that logarithms stay calm
_PATCH = 3  # latent pixels around a joint, squared


class ViewReader(nn.Module):
    """Views (B, V) to features (B, V, F)."""

    def __init__(self, view_dim: int, latent_channels: int, width: int, *, keypoints: int, min_confidence: float):
        super().__init__()
        self.keypoints, self.min_confidence = keypoints, min_confidence
        self.embed = nn.Sequential(nn.LayerNorm(view_dim), nn.Linear(view_dim, width))
        self.measure = nn.Linear(_PAIRS.shape[1] + _JOINTS, width)
        self.look = nn.Linear(_JOINTS * latent_channels * _PATCH**2, width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, views: Views) -> Tensor:
        """Features (B, V, F); those of padding are finite."""
        shape = views.confidence.shape
        none = (views.confidence == 0).flatten()
        # 0 · NaN is NaN, so padding is emptied first.
        embeds, latents, keypoints, sizes = (
            values.flatten(0, 1).masked_fill(none.view(-1, *[1] * (values.ndim - 2)), 0)
            for values in (views.embeds, views.latents, views.keypoints, views.sizes)
        )
        seen = visible(keypoints, 1, 1, self.min_confidence, self.keypoints)
        places = keypoints[..., :2].masked_fill(~seen[..., None], 0)
        isotropic = places * (sizes / sizes.amax(dim=1, keepdim=True).clamp_min(1))[:, None]
        measured = torch.cat([log_distances(isotropic, seen), seen.to(places)], dim=1)
        features = self.embed(embeds) + self.measure(measured) + self.look(around(latents, places, seen).flatten(1))
        features = silu(features)
        return (features + self.mix(features)).unflatten(0, shape)


def log_distances(places: Tensor, seen: Tensor) -> Tensor:
    """Logarithms (N, 136) of the distances between joints, less their mean: how near the camera was changes nothing.

    Args: places (N, 17, 2) in sides of the photo; seen, bool (N, 17). A pair that is not seen gives 0.
    """
    first, second = _PAIRS.to(places.device)
    both = seen[:, first] & seen[:, second]
    distances = (places[:, first] - places[:, second]).norm(dim=-1).clamp_min(_NEAR).log().masked_fill(~both, 0)
    mean = distances.sum(dim=1, keepdim=True) / both.sum(dim=1, keepdim=True).clamp_min(1)
    return (distances - mean).masked_fill(~both, 0)


def around(latents: Tensor, places: Tensor, seen: Tensor) -> Tensor:
    """Latents at the joints and around them, by bilinear interpolation.

    Args: latents (N, C, h, w) of views squashed to squares; places (N, 17, 2) as fractions of the photo's width and
    height; seen, bool (N, 17).

    Returns: (N, 17, 9 · C), zeros for a joint that is not seen.
    """
    steps = torch.arange(_PATCH, device=places.device) - _PATCH // 2
    offsets = torch.cartesian_prod(steps, steps) / places.new_tensor([latents.shape[-1], latents.shape[-2]])
    grid = 2 * (places[:, :, None] + offsets) - 1  # (N, 17, 9, 2); -1 and 1 are the edges of the view
    patches = grid_sample(latents, grid.to(latents), padding_mode="border", align_corners=False)  # (N, C, 17, 9)
    return patches.permute(0, 2, 1, 3).flatten(2).masked_fill(~seen[..., None], 0)

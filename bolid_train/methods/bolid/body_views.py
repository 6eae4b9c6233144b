"""What the Body-ID encoder gets of a person's photos."""

from dataclasses import dataclass

from torch import Tensor

from bolid_train.data.batch import Batch


@dataclass(frozen=True)
class BodyViews:
    """Features of V Gaussian-weighted photos of each of B people, each made a square. K = 17."""

    embeds: Tensor  # (B, V, D_ref): CLIP image embeddings
    latents: Tensor  # (B, V, C, h, w): scaled VAE latents
    keypoints: Tensor  # (B, V, K, 3): x, y as fractions of the square, confidence
    sizes: Tensor  # (B, V, 2): what the square is wide and high, in pixels of the photo
    confidence: Tensor  # (B, V): mean confidence of the visible keypoints, 0 for padding

    @classmethod
    def of(cls, batch: Batch) -> "BodyViews":
        views = batch.views
        embeds, latents = batch.features["view_embeds"], batch.features["view_latents"]
        return cls(embeds, latents, views.keypoints, views.sizes, views.confidence)

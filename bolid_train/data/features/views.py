"""The views of a person: photos weighted by the Gaussians around their keypoints."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.data.crops import Keypoints
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors
from bolid_train.data.features.target import encode_pixels
from bolid_train.data.weighting import visible, weight_views
from bolid_train.diffusion.base import Base


class _WeightedView(Feature):
    """A photo resized to a square without keeping its aspect ratio (as in the paper), so that no limb is cut off, and
    weighted if the settings ask for it. The encoder raises BolidError for a photo without a visible keypoint."""

    role: ClassVar[Role] = "view"

    class Settings(FeatureSettings):
        weighting: bool
        keypoints: Literal[12, 17]
        min_keypoint_confidence: float
        sigma: float
        alpha: float

    def weighted(self, photos: Sequence[Photo], side: int) -> Tensor:
        """The photos (V, 3, side, side) in 0..1; one by one, because distances to all keypoints need much memory."""
        images = [_pixels(photo.image.resize((side, side), Image.Resampling.BICUBIC)) for photo in photos]
        if self.settings.weighting:
            points = torch.stack([fractions(photo.keypoints, photo.image.size) for photo in photos])
            mask = visible(points, 1, 1, self.settings.min_keypoint_confidence, self.settings.keypoints)
            sigma, alpha = self.settings.sigma, self.settings.alpha
            parts = zip(images, points[..., :2] * side, mask, strict=True)
            images = [weight_views(image[None], at[None], shown[None], sigma, alpha)[0] for image, at, shown in parts]
        return torch.stack(images)


class ViewEmbedding(_WeightedView):
    """`view_embeds` (D_ref,): the CLIP embedding of the weighted photo."""

    name: ClassVar[str] = "view-embedding"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"view_embeds": torch.float16}

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {"view_embeds": (base.image_embed_dim,)}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.image_encoder, base.folder / "feature_extractor"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        side = pipe.image_encoder.config.image_size
        extractor: Any = pipe.feature_extractor
        mean, std = (torch.tensor(values)[:, None, None] for values in (extractor.image_mean, extractor.image_std))

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            pixels = (self.weighted(photos, side) - mean) / std
            return [{"view_embeds": embed} for embed in pipe.image_encoder(pixels.to(pipe.device)).image_embeds]

        return encode


class ViewLatents(_WeightedView):
    """`view_latents` (C, h, w): the latents of the weighted photo."""

    name: ClassVar[str] = "view-latents"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"view_latents": torch.float16}

    class Settings(_WeightedView.Settings):
        view_resolution: int

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        side = self.settings.view_resolution // base.vae_scale_factor
        return {"view_latents": (base.latent_channels, side, side)}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.folder / "vae"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            latents = encode_pixels(pipe, 2 * self.weighted(photos, self.settings.view_resolution) - 1)
            return [{"view_latents": latent} for latent in latents]

        return encode


def fractions(keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
    """Converts keypoints (17, 3) from pixels of a photo of `size` (width, height) to fractions of it."""
    return torch.tensor(keypoints, dtype=torch.float32) / torch.tensor([*size, 1.0])


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)

"""The views of a person: photos weighted by the Gaussians around their keypoints."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from bolid_train.data.crops import Keypoints
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors, in_threads
from bolid_train.data.features.reference import Embedder
from bolid_train.data.features.target import encode_pixels
from bolid_train.data.squares import Fit, resized, squares
from bolid_train.data.weighting import visible, weight_views
from bolid_train.diffusion.base import Base


class _WeightedView(Feature):
    """A whole photo, so that no limb is cut off: padded to a square, or squashed to one (as in the paper), and weighted
    if the settings ask for it. The encoder raises BolidError for a photo without a visible keypoint."""

    role: ClassVar[Role] = "view"

    class Settings(FeatureSettings):
        view_fit: Fit
        weighting: bool
        keypoints: Literal[12, 17]
        min_keypoint_confidence: float
        sigma: float
        alpha: float

    def weighted(self, photos: Sequence[Photo], side: int, device: torch.device) -> list[Tensor]:
        """The photos (3, h, w) in 0..1, on `device`, of a size that fits a square of `side`; one by one, because
        distances to all keypoints need much memory."""
        fit = self.settings.view_fit
        images = [image.to(device) for image in in_threads(lambda photo: resized(photo.image, side, fit), photos)]
        if not self.settings.weighting:
            return images
        points = torch.stack([fractions(photo.keypoints, photo.image.size) for photo in photos])
        mask = visible(points, 1, 1, self.settings.min_keypoint_confidence, self.settings.keypoints)
        sigma, alpha = self.settings.sigma, self.settings.alpha
        weighted: list[Tensor] = []
        for image, at, shown in zip(images, points[..., :2], mask, strict=True):
            pixels = at * torch.tensor([image.shape[2], image.shape[1]])
            weighted += weight_views(image[None], pixels[None].to(device), shown[None].to(device), sigma, alpha)
        return weighted


class ViewEmbedding(_WeightedView):
    """`view_embeds` (D_ref,): the CLIP embedding of the weighted photo."""

    name: ClassVar[str] = "view-embedding"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"view_embeds": torch.float16}

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {"view_embeds": (base.image_embed_dim,)}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.image_encoder, base.folder / "feature_extractor"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        embed = Embedder(pipe)

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            embeds = embed(self.weighted(photos, embed.side, pipe.device))
            return [{"view_embeds": embed} for embed in embeds]

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
        side = self.settings.view_resolution

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            pixels = squares(self.weighted(photos, side, pipe.device), side, lambda image: 2 * image - 1)
            return [{"view_latents": latent} for latent in encode_pixels(pipe, pixels)]

        return encode


def fractions(keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
    """Converts keypoints (17, 3) from pixels of a photo of `size` (width, height) to fractions of it."""
    return torch.tensor(keypoints, dtype=torch.float32) / torch.tensor([*size, 1.0])

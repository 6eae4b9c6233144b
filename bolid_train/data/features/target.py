"""The photo to generate: its latents, and its keypoints and size after cropping."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.data.buckets import Size, size_of
from bolid_train.data.crops import crop
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors
from bolid_train.diffusion.base import Base


class TargetImage(Feature):
    """`latents` (C, h, w), scaled for the UNet; `keypoints` (17, 3), x and y as fractions of the crop; `time_ids` (6,).

    Latents are in half precision, in which SDXL itself runs; positions are not.
    """

    name: ClassVar[str] = "target"
    role: ClassVar[Role] = "target"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {
        "latents": torch.float16,
        "keypoints": torch.float32,
        "time_ids": torch.float32,
    }

    class Settings(FeatureSettings):
        resolution: int
        buckets: bool

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {"keypoints": (17, 3), "time_ids": (6,)}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.folder / "vae"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            crops = [crop(photo.image, photo.keypoints, self.size_of(photo.image)) for photo in photos]
            latents = encode_images(pipe, [image for image, *_ in crops])
            return [
                {"latents": latent, "keypoints": keypoints, "time_ids": time_ids}
                for latent, (_, keypoints, time_ids) in zip(latents, crops, strict=True)
            ]

        return encode

    def size_of(self, photo: Image.Image) -> Size:
        """The size, width and height, to which a photo is cropped."""
        return size_of(photo, self.settings)


def encode_images(pipe: StableDiffusionXLPipeline, images: Sequence[Image.Image]) -> list[Tensor]:
    """The means of the VAE's posterior (C, h, w), times its scaling factor; images of one size are encoded together."""
    latents: dict[int, Tensor] = {}
    for size in {image.size for image in images}:
        rows = [row for row, image in enumerate(images) if image.size == size]
        pixels = pipe.image_processor.preprocess([images[row] for row in rows])
        latents |= zip(rows, encode_pixels(pipe, pixels), strict=True)
    return [latents[row] for row in range(len(images))]


def encode_pixels(pipe: StableDiffusionXLPipeline, pixels: Tensor) -> Tensor:
    """Images (B, 3, H, W) in -1..1 to scaled latents (B, C, h, w)."""
    posterior = pipe.vae.encode(pixels.to(pipe.device)).latent_dist
    return posterior.mean * pipe.vae.config.scaling_factor

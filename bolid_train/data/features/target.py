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
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors, in_threads
from bolid_train.diffusion.base import Base

_MAX_PIXELS = 2**20
"""Encoded at once, or one image if that has more: SDXL's encoder needs 21.5 GB for eight of 1024×1024 in float32."""


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
            crops = in_threads(lambda photo: crop(photo.image, photo.keypoints, self.size_of(photo.image)), photos)
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
    """Images (B, 3, H, W) in -1..1 to scaled latents (B, C, h, w), a few at a time."""
    count = max(1, _MAX_PIXELS // (pixels.shape[-2] * pixels.shape[-1]))
    parts = [pipe.vae.encode(part).latent_dist.mean for part in pixels.to(pipe.device, pipe.vae.dtype).split(count)]
    return torch.cat(parts).float() * pipe.vae.config.scaling_factor

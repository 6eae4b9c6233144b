"""Frozen encoders of photos and prompts, shared by the feature cache of training and by generation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.data.batch import Views
from bolid_train.data.crops import Keypoints, crop_face
from bolid_train.data.weighting import visible, weight_views


class Encoders:
    """The VAE, text encoders and image encoder of a pipeline, whose UNet is not used."""

    def __init__(self, pipe: StableDiffusionXLPipeline, settings: Train) -> None:
        self.pipe, self.settings = pipe, settings

    @torch.inference_mode()
    def text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, D_text) and pooled embeddings (B, D_pooled), as in the stock pipeline."""
        prompt, _, pooled, _ = self.pipe.encode_prompt(
            [shorten(self.pipe, text) for text in prompts], do_classifier_free_guidance=False
        )
        return prompt, pooled

    @torch.inference_mode()
    def references(self, photos: list[Image.Image], keypoints: Sequence[Keypoints]) -> Tensor:
        """CLIP image embeddings (B, D_ref), as in the stock IP-Adapter pipeline, of the photos or of their faces,
        depending on the settings. A photo without keypoints is not cropped."""
        if self.settings.reference == "face":
            threshold = self.settings.min_keypoint_confidence
            photos = [crop_face(photo, points, threshold) for photo, points in zip(photos, keypoints, strict=True)]
        return self.pipe.encode_image(photos, self.pipe.device, 1)[0]

    @torch.inference_mode()
    def views(self, photos: list[Image.Image], keypoints: Sequence[Keypoints]) -> Views:
        """The photos as views (1, V, ...) of one person, weighted if the settings ask for it.

        A photo is resized to a square without keeping its aspect ratio (as in the paper), so that no limb is cut off.
        Its confidence is the mean over its visible keypoints. Raises BolidError for a photo without a visible keypoint.
        """
        pairs = list(zip(photos, keypoints, strict=True))
        points = torch.stack([fractions(pixels, photo.size) for photo, pixels in pairs])
        side = self.pipe.image_encoder.config.image_size
        extractor: Any = self.pipe.feature_extractor
        mean, std = (torch.tensor(values)[:, None, None] for values in (extractor.image_mean, extractor.image_std))
        pixels = (self._weighted(photos, points, side) - mean) / std
        embeds = self.pipe.image_encoder(pixels.to(self.pipe.device)).image_embeds
        latents = self._latents(2 * self._weighted(photos, points, self.settings.view_resolution) - 1)
        mask = self._visible(points)
        confidence = (points[..., 2] * mask).sum(dim=1) / mask.sum(dim=1)
        sizes = torch.tensor([photo.size for photo in photos], dtype=torch.float32)
        return Views(embeds[None], latents[None], points[None], sizes[None], confidence[None])

    @torch.inference_mode()
    def latents(self, images: list[Image.Image]) -> Tensor:
        """The means of the VAE's posterior (B, C, h, w) for images of equal size, times its scaling factor."""
        return self._latents(self.pipe.image_processor.preprocess(images))

    def _latents(self, images: Tensor) -> Tensor:
        posterior = self.pipe.vae.encode(images.to(self.pipe.device)).latent_dist
        return posterior.mean * self.pipe.vae.config.scaling_factor

    def _weighted(self, photos: list[Image.Image], points: Tensor, side: int) -> Tensor:
        """The photos (V, 3, side, side) in 0..1; one by one, because distances to all keypoints need much memory."""
        images = [_pixels(photo.resize((side, side), Image.Resampling.BICUBIC)) for photo in photos]
        if self.settings.weighting:
            sigma, alpha = self.settings.sigma, self.settings.alpha
            parts = zip(images, points[..., :2] * side, self._visible(points), strict=True)
            images = [weight_views(image[None], at[None], mask[None], sigma, alpha)[0] for image, at, mask in parts]
        return torch.stack(images)

    def _visible(self, points: Tensor) -> Tensor:
        return visible(points, 1, 1, self.settings.min_keypoint_confidence, self.settings.keypoints)


def fractions(keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
    """Converts keypoints (17, 3) from pixels of a photo of `size` (width, height) to fractions of it."""
    return torch.tensor(keypoints, dtype=torch.float32) / torch.tensor([*size, 1.0])


def shorten(pipe: StableDiffusionXLPipeline, prompt: str) -> str:
    """The prompt truncated to the text encoders' length, so that the pipeline does not warn about long captions."""
    max_tokens = pipe.tokenizer.model_max_length - 2
    ids = pipe.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
    return prompt if len(ids) <= max_tokens else pipe.tokenizer.decode(ids[:max_tokens])


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)

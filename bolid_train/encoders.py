"""What the frozen models say of photos and prompts: the same code for training's cache and for generation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.body.weighting import visible, weight_views

Keypoints = Sequence[Sequence[float]]


class Encoders:
    """The VAE, text encoders and image encoder of a pipeline, whose UNet is not used."""

    def __init__(self, pipe: StableDiffusionXLPipeline, settings: Train) -> None:
        self.pipe, self.settings = pipe, settings

    @torch.inference_mode()
    def text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, D_text) and pooled ones (B, D_pooled), as the stock pipeline makes them."""
        prompt, _, pooled, _ = self.pipe.encode_prompt(
            [shorten(self.pipe, text) for text in prompts], do_classifier_free_guidance=False
        )
        return prompt, pooled

    @torch.inference_mode()
    def references(self, photos: list[Image.Image]) -> Tensor:
        """CLIP image embeddings (B, D_ref) of whole photos, as the stock IP-Adapter pipeline makes them."""
        return self.pipe.encode_image(photos, self.pipe.device, 1)[0]

    @torch.inference_mode()
    def views(self, photos: list[Image.Image], keypoints: list[Keypoints]) -> tuple[Tensor, Tensor]:
        """CLIP embeddings (B, D_ref) of the weighted photos and their pose confidence (B,).

        A photo is squashed to a square (as in the paper), so no limb is cut; the confidence is the mean over
        its visible keypoints. Raises BolidError for a photo without one.
        """
        side, settings = self.pipe.image_encoder.config.image_size, self.settings
        images = torch.stack([_pixels(photo.resize((side, side), Image.Resampling.BICUBIC)) for photo in photos])
        points = torch.stack([_scaled(photo, rows, side) for photo, rows in zip(photos, keypoints, strict=True)])
        seen = visible(points, side, side, settings.min_keypoint_confidence, settings.keypoints)
        weighted = weight_views(images, points[..., :2], seen, settings.sigma, settings.alpha)
        extractor: Any = self.pipe.feature_extractor
        mean, std = (torch.tensor(values)[:, None, None] for values in (extractor.image_mean, extractor.image_std))
        embeds = self.pipe.image_encoder(((weighted - mean) / std).to(self.pipe.device)).image_embeds
        return embeds, (points[..., 2] * seen).sum(dim=1) / seen.sum(dim=1)

    @torch.inference_mode()
    def latents(self, squares: list[Image.Image]) -> Tensor:
        """The means of the VAE's posterior (B, 4, h, w), times its scaling factor."""
        images = self.pipe.image_processor.preprocess(squares).to(self.pipe.device)
        return self.pipe.vae.encode(images).latent_dist.mean * self.pipe.vae.config.scaling_factor


def crop_square(photo: Image.Image, keypoints: Keypoints, resolution: int) -> tuple[Image.Image, Tensor, Tensor]:
    """The largest square of the photo around its confident keypoints, at `resolution` pixels.

    Returns it with the keypoints (17, 3), x and y as fractions of the square, and SDXL's time ids (6,):
    original height and width, top and left of the crop, target height and width (Podell et al. 2023, section
    2.2), in the units of the photo resized so that its shorter side is `resolution`.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    side = min(photo.size)
    centre = np.average(points[:, :2], axis=0, weights=points[:, 2])
    left, top = (round(min(max(c - side / 2, 0), whole - side)) for c, whole in zip(centre, photo.size, strict=True))
    square = photo.resize(
        (resolution, resolution),
        Image.Resampling.LANCZOS,
        box=(left, top, left + side, top + side),
        reducing_gap=3.0,
    )
    fractions = np.concatenate([(points[:, :2] - (left, top)) / side, points[:, 2:]], axis=1)
    scale = resolution / side
    time_ids = (photo.height, photo.width, round(top * scale), round(left * scale), resolution, resolution)
    return square, torch.tensor(fractions, dtype=torch.float32), torch.tensor(time_ids, dtype=torch.float32)


def shorten(pipe: StableDiffusionXLPipeline, prompt: str) -> str:
    """The prompt cut to what the text encoders can take, so that the pipeline does not warn of every long caption."""
    longest = pipe.tokenizer.model_max_length - 2
    ids = pipe.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
    return prompt if len(ids) <= longest else pipe.tokenizer.decode(ids[:longest])


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)


def _scaled(photo: Image.Image, keypoints: Keypoints, side: int) -> Tensor:
    return torch.tensor(keypoints, dtype=torch.float32) * torch.tensor([side / photo.width, side / photo.height, 1.0])

"""Computes a photo's features with the frozen models."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bolid_data.manifest import ObjectiveSettings, Train
from bolid_train.data.buckets import size_of
from bolid_train.data.crops import crop
from bolid_train.data.encoders import Encoders
from bolid_train.data.shard_dataset import Sample
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import load_clip


def clip_columns(objective: ObjectiveSettings) -> list[str]:
    """The features that the objective needs of its CLIP; none if no term uses it."""
    weights = {"clip_texts": objective.clip_text, "clip_references": objective.clip_style}
    return [name for name, weight in weights.items() if weight]


class PhotoEncoder:
    """Holds the frozen models that encode photos."""

    def __init__(self, base: Base, settings: Train, device: torch.device, relative_to: Path | None = None) -> None:
        self.settings, self.device = settings, device
        self.encoders = Encoders(base.pipeline(device, unet=None), settings)
        self.clip_columns = clip_columns(settings.objective)
        if self.clip_columns:
            self.clip = load_clip(settings.objective.clip, relative_to)
            self.clip.model.to(device)

    @torch.inference_mode()
    def __call__(self, samples: list[Sample], photos: list[Image.Image]) -> list[dict[str, Tensor]]:
        """The features of each sample by name."""
        settings, all_keypoints = self.settings, [sample.keypoints for sample in samples]
        sizes = [size_of(sample, settings) for sample in samples]
        crops = [crop(photo, points, size) for photo, points, size in zip(photos, all_keypoints, sizes, strict=True)]
        images, keypoints, time_ids = map(list, zip(*crops, strict=True))
        prompt_embeds, pooled = self.encoders.text([sample.caption for sample in samples])
        views = self.encoders.views(photos, all_keypoints)
        # SDXL itself runs in half precision, and it halves the disk space; positions and confidences stay in float32.
        columns: dict[str, Any] = {
            "latents": [latents.half() for latents in self._latents(images)],
            "prompt_embeds": prompt_embeds.half(),
            "pooled_prompt_embeds": pooled.half(),
            "image_embeds": self.encoders.references(photos, all_keypoints).half(),
            "view_embeds": views.embeds[0].half(),
            "view_latents": views.latents[0].half(),
            "confidence": views.confidence[0],
            "keypoints": keypoints,
            "time_ids": time_ids,
        }
        if "clip_texts" in self.clip_columns:
            columns["clip_texts"] = self.clip.embed_texts([sample.caption for sample in samples])
        if "clip_references" in self.clip_columns:
            columns["clip_references"] = [self._clip_image(image) for image in images]
        return [{name: column[row] for name, column in columns.items()} for row in range(len(samples))]

    def _latents(self, images: list[Image.Image]) -> list[Tensor]:
        """Latents of images of several sizes; images of one size are encoded together."""
        latents: dict[int, Tensor] = {}
        for size in {image.size for image in images}:
            rows = [row for row, image in enumerate(images) if image.size == size]
            latents |= zip(rows, self.encoders.latents([images[row] for row in rows]), strict=True)
        return [latents[row] for row in range(len(images))]

    def _clip_image(self, image: Image.Image) -> Tensor:
        """CLIP embedding of the cropped photo, preprocessed like the images in the objective."""
        pixels = self.encoders.pipe.image_processor.preprocess(image)
        return self.clip.embed_images(pixels.to(self.device))[0]

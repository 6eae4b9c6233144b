"""The features of a photo: all that the frozen models say of it before training."""

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
    """What the CLIP of the objective is asked for; nothing where no term needs it."""
    weights = {"clip_texts": objective.clip_text, "clip_references": objective.clip_style}
    return [name for name, weight in weights.items() if weight]


class PhotoEncoder:
    """Holds the frozen models while photos are encoded."""

    def __init__(self, base: Base, settings: Train, device: torch.device, near: Path | None = None) -> None:
        self.settings, self.device = settings, device
        self.encoders = Encoders(base.pipeline(device, unet=None), settings)
        self.clip_columns = clip_columns(settings.objective)
        if self.clip_columns:
            self.clip = load_clip(settings.objective.clip, near)
            self.clip.model.to(device)

    @torch.inference_mode()
    def __call__(self, samples: list[Sample], photos: list[Image.Image]) -> list[dict[str, Tensor]]:
        """The features of each sample, by name."""
        settings, places = self.settings, [sample.keypoints for sample in samples]
        sizes = [size_of(sample, settings) for sample in samples]
        cut = [crop(photo, own, size) for photo, own, size in zip(photos, places, sizes, strict=True)]
        images, keypoints, time_ids = map(list, zip(*cut, strict=True))
        prompt_embeds, pooled = self.encoders.text([sample.caption for sample in samples])
        views = self.encoders.views(photos, places)
        # Half precision is what SDXL itself runs in, and halves the disk; positions and confidences stay whole.
        columns: dict[str, Any] = {
            "latents": [latents.half() for latents in self._latents(images)],
            "prompt_embeds": prompt_embeds.half(),
            "pooled_prompt_embeds": pooled.half(),
            "image_embeds": self.encoders.references(photos, places).half(),
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
        """Of images of several sizes, each size in one go."""
        found: dict[int, Tensor] = {}
        for size in {image.size for image in images}:
            rows = [row for row, image in enumerate(images) if image.size == size]
            found |= zip(rows, self.encoders.latents([images[row] for row in rows]), strict=True)
        return [found[row] for row in range(len(images))]

    def _clip_image(self, image: Image.Image) -> Tensor:
        """Of the cut photo, as the objective sees a picture of it."""
        pixels = self.encoders.pipe.image_processor.preprocess(image)
        return self.clip.embed_images(pixels.to(self.device))[0]

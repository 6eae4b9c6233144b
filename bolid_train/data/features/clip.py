"""What L_CLIP compares images with: the objective's CLIP of captions and of reference photos."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.data.buckets import size_of
from bolid_train.data.crops import crop
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import Clip, clip_folder, load_clip


class _ClipFeature(Feature):
    def __init__(self, train: Train, relative_to: Path = Path()) -> None:
        super().__init__(train, relative_to)
        self.clip = train.objective.clip

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {}

    def models(self, base: Base) -> Sequence[Path]:
        return [clip_folder(self.clip, self.relative_to)]


class ClipTexts(_ClipFeature):
    """`clip_texts` (D,): unit vector of the caption."""

    name: ClassVar[str] = "clip-texts"
    role: ClassVar[Role] = "target"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"clip_texts": torch.float32}
    inputs: ClassVar[tuple[str, ...]] = ("caption",)

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        clip = load_clip(self.clip, self.relative_to)
        clip.model.to(pipe.device)

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            embeds = clip.embed_texts([photo.caption for photo in photos])
            return [{"clip_texts": embed} for embed in embeds]

        return encode


class ClipReferences(_ClipFeature):
    """`clip_references` (D,): unit vector of the cropped photo, preprocessed like the images in the objective."""

    name: ClassVar[str] = "clip-references"
    role: ClassVar[Role] = "reference"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"clip_references": torch.float32}

    class Settings(FeatureSettings):
        resolution: int
        buckets: bool

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        clip = load_clip(self.clip, self.relative_to)
        clip.model.to(pipe.device)

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            return [{"clip_references": self._embed(clip, pipe, photo)} for photo in photos]

        return encode

    def _embed(self, clip: Clip, pipe: StableDiffusionXLPipeline, photo: Photo) -> Tensor:
        cropped, *_ = crop(photo.image, photo.keypoints, size_of(photo.image, self.settings))
        pixels = pipe.image_processor.preprocess(cropped)
        return clip.embed_images(pixels.to(pipe.device))[0]

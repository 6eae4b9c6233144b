"""The CLIP embedding of the reference photo, which IP-Adapter takes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from diffusers import StableDiffusionXLPipeline

from bolid_train.data.crops import crop_face
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors
from bolid_train.diffusion.base import Base


class ReferenceEmbedding(Feature):
    """`image_embeds` (D_ref,): of the photo or, if the settings ask for it, of the face in it, preprocessed as in the
    stock IP-Adapter pipeline. A photo without keypoints is not cropped."""

    name: ClassVar[str] = "reference"
    role: ClassVar[Role] = "reference"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"image_embeds": torch.float16}

    class Settings(FeatureSettings):
        reference: Literal["photo", "face"]
        min_keypoint_confidence: float

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {"image_embeds": (base.image_embed_dim,)}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.image_encoder, base.folder / "feature_extractor"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            images = [photo.image for photo in photos]
            if self.settings.reference == "face":
                threshold = self.settings.min_keypoint_confidence
                images = [crop_face(photo.image, photo.keypoints, threshold) for photo in photos]
            return [{"image_embeds": embed} for embed in pipe.encode_image(images, pipe.device, 1)[0]]

        return encode

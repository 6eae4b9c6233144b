"""The CLIP embedding of the reference photo, which IP-Adapter takes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from pydantic import BeforeValidator
from torch import Tensor

from bolid_train.data.crops import crop_face
from bolid_train.data.features.feature import Feature, FeatureSettings, Photo, Role, Tensors, in_threads
from bolid_train.data.squares import resized, squares
from bolid_train.diffusion.base import Base


class ReferenceEmbedding(Feature):
    """`image_embeds` (D_ref,): of the photo or, if the settings ask for it, of the face in it. A photo without
    keypoints is not cropped.

    It is padded to a square, so that head and feet stay on it; or its centre is cropped, as in the stock IP-Adapter
    pipeline, for branches that start from an IP-Adapter that was trained so.
    """

    name: ClassVar[str] = "reference"
    role: ClassVar[Role] = "reference"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"image_embeds": torch.float16}

    class Settings(FeatureSettings):
        reference: Literal["photo", "face"]
        reference_fit: Annotated[Literal["pad", "crop"], BeforeValidator(lambda fit: fit or "pad")]
        min_keypoint_confidence: float

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {"image_embeds": (base.image_embed_dim,)}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.image_encoder, base.folder / "feature_extractor"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        embed = Embedder(pipe)

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            images = self.cropped(photos)
            if self.settings.reference_fit == "crop":
                embeds = pipe.encode_image(images, pipe.device, 1)[0]
            else:
                embeds = embed(in_threads(lambda image: resized(image, embed.side, "pad"), images))
            return [{"image_embeds": embed} for embed in embeds]

        return encode

    def cropped(self, photos: Sequence[Photo]) -> list[Image.Image]:
        """The photos, or the faces on them if the settings ask for these."""
        if self.settings.reference == "photo":
            return [photo.image for photo in photos]
        threshold = self.settings.min_keypoint_confidence
        return [crop_face(photo.image, photo.keypoints, threshold) for photo in photos]


class ReferenceStates(ReferenceEmbedding):
    """`image_states` (S, D): CLIP's penultimate hidden states, a class token and one for each patch, of the same
    image."""

    name: ClassVar[str] = "reference-states"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"image_states": torch.float16}

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {"image_states": base.image_states_shape}

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        embed = Embedder(pipe)

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            images = self.cropped(photos)
            if self.settings.reference_fit == "crop":
                states = pipe.encode_image(images, pipe.device, 1, output_hidden_states=True)[0]
            else:
                states = embed.states(in_threads(lambda image: resized(image, embed.side, "pad"), images))
            return [{"image_states": of_photo} for of_photo in states]

        return encode


class Embedder:
    """The pipeline's CLIP vision model, for images that are resized already."""

    def __init__(self, pipe: StableDiffusionXLPipeline) -> None:
        self._model: Any = pipe.image_encoder
        self.side: int = self._model.config.image_size
        extractor: Any = pipe.feature_extractor
        statistics = (extractor.image_mean, extractor.image_std)
        self._mean, self._std = (torch.tensor(values, device=pipe.device)[:, None, None] for values in statistics)

    def __call__(self, images: list[Tensor]) -> Tensor:
        """Embeddings (N, D_ref) of images (3, h, w) in 0..1 that fit a square of `side`; they are padded."""
        return self._model(self.pixels(images).to(self._model.dtype)).image_embeds

    def states(self, images: list[Tensor]) -> Tensor:
        """Penultimate hidden states (N, S, D) of such images."""
        pixels = self.pixels(images).to(self._model.dtype)
        return self._model(pixels, output_hidden_states=True).hidden_states[-2]

    def pixels(self, images: list[Tensor]) -> Tensor:
        """What the model takes of such images: normalised and padded, (N, 3, side, side)."""
        return squares(images, self.side, lambda image: (image.to(self._mean) - self._mean) / self._std)

"""The photos of the person, as the identity encoder's CLIP takes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from diffusers import StableDiffusionXLPipeline
from transformers import CLIPVisionConfig

from bolid_train.data.features.feature import Photo, Role, Tensors, in_threads
from bolid_train.data.features.reference import Embedder, ReferenceEmbedding
from bolid_train.data.squares import resized
from bolid_train.diffusion.base import Base


class IdPixels(ReferenceEmbedding):
    """`id_pixels` (3, S, S): the photo, or the face in it (`[train] reference`), normalised for CLIP.

    Pixels and not an embedding, because the CLIP of the identity encoder is trained. As reference photos are, they are
    padded to a square, or cropped to its centre, as in the published pipeline (`[train] reference_fit`).
    """

    name: ClassVar[str] = "id-pixels"
    role: ClassVar[Role] = "view"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"id_pixels": torch.float16}

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        side = int(CLIPVisionConfig.from_pretrained(base.image_encoder).image_size)
        return {"id_pixels": (3, side, side)}

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        embedder = Embedder(pipe)

        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            images = self.cropped(photos)
            if self.settings.reference_fit == "crop":
                pixels = pipe.feature_extractor(images, return_tensors="pt").pixel_values
            else:
                pixels = embedder.pixels(in_threads(lambda image: resized(image, embedder.side, "pad"), images))
            return [{"id_pixels": one} for one in pixels.to(pipe.device)]

        return encode

"""A frozen CLIP (Radford et al. 2021) of images and texts, for losses and evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from bolid_data import model_files, weights
from bolid_data.errors import BolidError, UsageError

NAMES = ("clip-0", "clip-1", "clip-0-3d", "clip-1-3d")
"""The small worlds' CLIPs: `clip-0` is for conditioning and losses, `clip-1` only for evaluation."""


@dataclass(frozen=True)
class Clip:
    """A CLIP with its preprocessing. D is the width of the embedding space of images and texts."""

    model: CLIPModel
    tokenizer: CLIPTokenizer
    image_processor: CLIPImageProcessor

    def embed_images(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in -1..1, as a VAE decodes them, to unit vectors (B, D); differentiable."""
        features = self.model.get_image_features(pixel_values=self.pixel_values(images))
        return normalize(features.pooler_output.float(), dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts to unit vectors (B, D); texts are truncated to 77 tokens."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return normalize(self.model.get_text_features(**tokens.to(self.model.device)).pooler_output.float(), dim=1)

    def pixel_values(self, images: Tensor) -> Tensor:
        """A differentiable version of the image processor: resizes the shorter side, crops the centre and
        normalises."""
        side = self.model.config.vision_config.image_size
        height, width = images.shape[2:]
        if (height, width) != (side, side):
            size = (side * height // min(height, width), side * width // min(height, width))
            images = interpolate(images.float(), size=size, mode="bicubic", antialias=True)
            top, left = (size[0] - side) // 2, (size[1] - side) // 2
            images = images[..., top : top + side, left : left + side]
        processor = self.image_processor
        mean, std = (images.new_tensor(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
        return (images / 2 + 0.5 - mean) / std


def load_clip(name: str, relative_to: Path | None = None) -> Clip:
    """Loads one of `NAMES`, or any CLIP's folder (relative to `relative_to`) or hub repository: frozen, in evaluation
    mode, in float32.

    Raises BolidError if its files are missing, UsageError for another kind of model.
    """
    folder = clip_folder(name, relative_to)
    try:
        kind = CLIPConfig.get_config_dict(folder)[0].get("model_type")
        if kind != "clip":
            raise UsageError(f"'{name}' is not a CLIP of images and texts but '{kind}' ({folder}); name one that is")
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32, variant=model_files.variant(folder))
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        image_processor = CLIPImageProcessor.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BolidError(f"the CLIP at {folder} cannot be loaded: {error}") from error
    return Clip(model.eval().requires_grad_(False), tokenizer, image_processor)


def clip_folder(name: str, relative_to: Path | None = None) -> Path:
    """The folder of the CLIP of that name. Raises BolidError as `load_clip` does."""
    return weights.find(name).path if name in NAMES else weights.folder(name, relative_to)

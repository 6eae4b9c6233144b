"""The frozen base pipeline: where it is, what hashes to it, and its parts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_logging

from bolid_data import weights
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train

SMALL_SDXL = "small-sdxl"
"""Names the base that comes with this package."""

CLIP_BODIES = "clip-bodies"
"""Names the image encoder that comes with it beside the base's own, and sees how people are built."""

_ENCODERS = (
    "vae",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "image_encoder",
    "feature_extractor",
)


@dataclass(frozen=True)
class Base:
    """A diffusers folder of an SDXL, and the folder of the CLIP image encoder that goes with it."""

    name: str  # what stands in adapter.json: `small-sdxl`, a folder or a hub name
    folder: Path
    image_encoder: Path

    @classmethod
    def find(cls, settings: Train, near: Path) -> "Base":
        """The base and the image encoder that the manifest names: of this package, folders (relative to `near`), or hub
        repositories.

        Raises UsageError for an SDXL without an image encoder, BolidError for one that is not to be had or was altered.
        """
        image_encoder = _image_encoder(settings.image_encoder, near) if settings.image_encoder else None
        if settings.base == SMALL_SDXL:
            return cls.at(SMALL_SDXL, weights.find(SMALL_SDXL).path, image_encoder)
        folder = weights.folder(settings.base, near)
        name = str(folder.resolve()) if (near / settings.base).is_dir() else settings.base
        return cls.at(name, folder, image_encoder)

    @classmethod
    def at(cls, name: str, folder: Path, image_encoder: Path | None = None) -> "Base":
        """The base in `folder`, checked to be a pipeline with an image encoder."""
        if not (folder / "model_index.json").is_file():
            raise UsageError(f"base '{name}': {folder} is not a diffusers pipeline (no model_index.json in it)")
        image_encoder = image_encoder or folder / "image_encoder"
        if not image_encoder.is_dir():
            raise UsageError(
                f"base '{name}' has no image_encoder of its own; name one in [train] image_encoder, for example "
                '"openai/clip-vit-large-patch14"'
            )
        return cls(name, folder, image_encoder)

    def encoders_sha256(self) -> str:
        """One hash over the bytes of the frozen encoders: what cached features depend on."""
        parts = [self.folder / part for part in _ENCODERS if part != "image_encoder"] + [self.image_encoder]
        return hashlib.sha256("".join(weights.folder_sha256(part) for part in parts).encode()).hexdigest()

    def pipeline(self, device: torch.device, **replaced: Any) -> StableDiffusionXLPipeline:
        """The stock pipeline with its image encoder, all in float32, however the folder keeps them; `replaced` gives
        components in place of the folder's own."""
        with _readable(self.folder):
            image_encoder = CLIPVisionModelWithProjection.from_pretrained(self.image_encoder, dtype=torch.float32)
            extractor = _feature_extractor(self, image_encoder.config.image_size)
            pipe = StableDiffusionXLPipeline.from_pretrained(
                self.folder,
                image_encoder=image_encoder,
                feature_extractor=extractor,
                dtype=torch.float32,
                add_watermarker=False,
                **replaced,
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(device)

    @property
    def side(self) -> int:
        """Pixels of the sides of the pictures that it was trained to draw."""
        with _readable(self.folder):
            unet = UNet2DConditionModel.load_config(self.folder, subfolder="unet")
            vae = AutoencoderKL.load_config(self.folder, subfolder="vae")
            return int(unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))

    def unet(self, device: torch.device) -> UNet2DConditionModel:
        """The frozen UNet; on an accelerator in bfloat16, for no gradient of its weights is taken."""
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        with _readable(self.folder):
            unet = UNet2DConditionModel.from_pretrained(self.folder, subfolder="unet", dtype=dtype)
        return unet.requires_grad_(False).to(device)

    def vae(self, device: torch.device) -> AutoencoderKL:
        """The frozen VAE; on an accelerator in bfloat16, whose range SDXL's decoder needs."""
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        with _readable(self.folder):
            vae = AutoencoderKL.from_pretrained(self.folder, subfolder="vae", dtype=dtype)
        return vae.eval().requires_grad_(False).to(device)


def pick_device() -> torch.device:
    """The accelerator where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _image_encoder(name: str, near: Path) -> Path:
    return weights.find(name).path if name == CLIP_BODIES else weights.folder(name, near)


def _feature_extractor(base: Base, side: Any) -> CLIPImageProcessor:
    for folder in (base.image_encoder, base.folder / "feature_extractor"):
        if (folder / "preprocessor_config.json").is_file():
            return CLIPImageProcessor.from_pretrained(folder)
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise on a damaged folder into one clear error, and keeps their progress bars silent."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BolidError(f"the base pipeline at {folder} cannot be loaded: {error}") from error

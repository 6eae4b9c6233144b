"""The frozen base pipeline: its location, its hash and its parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_logging

from bolid_data import model_files, weights
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Train
from bolid_train.diffusion.precision import FULL, Precision

CLIP_BODIES = "clip-bodies"
"""Name of a second image encoder that ships with this package, trained to distinguish bodies."""

IMAGE_ENCODERS = (CLIP_BODIES, "clip-bodies-3d")
"""The same of each small world."""


@dataclass(frozen=True)
class Base:
    """The diffusers folder of an SDXL pipeline, and the folder of its CLIP image encoder."""

    name: str  # as in adapter.json: one of `weights.BASES`, a folder or a hub repository
    folder: Path
    image_encoder: Path

    @classmethod
    def resolve(cls, settings: Train, relative_to: Path) -> "Base":
        """The base and the image encoder that the manifest names: embedded ones, folders (relative to `relative_to`),
        or hub repositories.

        Raises UsageError for an SDXL without an image encoder, BolidError for one that is unavailable or was altered.
        """
        image_encoder = _image_encoder(settings.image_encoder, relative_to) if settings.image_encoder else None
        if settings.base in weights.BASES:
            return cls.at(settings.base, weights.find(settings.base).path, image_encoder)
        folder = weights.folder(settings.base, relative_to)
        name = str(folder.resolve()) if (relative_to / settings.base).is_dir() else settings.base
        return cls.at(name, folder, image_encoder)

    @classmethod
    def at(cls, name: str, folder: Path, image_encoder: Path | None = None) -> "Base":
        """The base in `folder`. Raises UsageError if it is not a pipeline with an image encoder."""
        if not (folder / "model_index.json").is_file():
            raise UsageError(f"base '{name}': {folder} is not a diffusers pipeline (no model_index.json in it)")
        image_encoder = image_encoder or folder / "image_encoder"
        if not image_encoder.is_dir():
            raise UsageError(
                f"base '{name}' has no image_encoder; name one in [train] image_encoder, for example "
                '"openai/clip-vit-large-patch14"'
            )
        return cls(name, folder, image_encoder)

    def pipeline(self, device: torch.device, precision: Precision = FULL, **replaced: Any) -> StableDiffusionXLPipeline:
        """The stock pipeline with its image encoder, whatever the types in the files. `replaced`: components to use
        instead of the folder's."""
        parts = dict(replaced)
        with _readable(self.folder):
            if "image_encoder" not in parts:
                encoder = self.image_encoder_model(precision.models)
                parts |= {
                    "image_encoder": encoder, "feature_extractor": _feature_extractor(self, encoder.config.image_size)
                }  # fmt: skip
            pipe = StableDiffusionXLPipeline.from_pretrained(
                self.folder,
                dtype={"default": precision.models, "vae": precision.vae},
                variant=model_files.variant(self.folder),
                add_watermarker=False,
                **parts,
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(device)

    @property
    def side(self) -> int:
        """Side in pixels of the images that it was trained to generate."""
        with _readable(self.folder):
            unet = UNet2DConditionModel.load_config(self.folder, subfolder="unet")
            return int(unet["sample_size"] * self.vae_scale_factor)

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per side of a latent pixel."""
        return int(2 ** (len(self.vae_config["block_out_channels"]) - 1))

    @property
    def latent_channels(self) -> int:
        return int(self.vae_config["latent_channels"])

    @property
    def image_embed_dim(self) -> int:
        """Width of the image encoder's embeddings."""
        with _readable(self.image_encoder):
            return int(CLIPVisionConfig.from_pretrained(self.image_encoder).projection_dim)

    @property
    def image_states_shape(self) -> tuple[int, int]:
        """Number and width of the image encoder's hidden states: a class token, and one for each patch."""
        with _readable(self.image_encoder):
            config = CLIPVisionConfig.from_pretrained(self.image_encoder)
            return (config.image_size // config.patch_size) ** 2 + 1, config.hidden_size

    def image_encoder_model(self, dtype: torch.dtype = torch.float32) -> CLIPVisionModelWithProjection:
        """The frozen image encoder, on the CPU."""
        with _readable(self.image_encoder):
            return CLIPVisionModelWithProjection.from_pretrained(
                self.image_encoder, dtype=dtype, variant=model_files.variant(self.image_encoder)
            )

    @property
    def vae_config(self) -> dict[str, Any]:
        """The VAE's configuration."""
        with _readable(self.folder):
            return dict(AutoencoderKL.load_config(self.folder, subfolder="vae"))

    def unet(self, device: torch.device, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
        """The frozen UNet."""
        with _readable(self.folder):
            variant = model_files.variant(self.folder / "unet")
            unet = UNet2DConditionModel.from_pretrained(self.folder, subfolder="unet", dtype=dtype, variant=variant)
        return unet.requires_grad_(False).to(device)

    def vae(self, device: torch.device, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        """The frozen VAE."""
        with _readable(self.folder):
            variant = model_files.variant(self.folder / "vae")
            vae = AutoencoderKL.from_pretrained(self.folder, subfolder="vae", dtype=dtype, variant=variant)
        return vae.eval().requires_grad_(False).to(device)


def pick_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _image_encoder(name: str, relative_to: Path) -> Path:
    return weights.find(name).path if name in IMAGE_ENCODERS else weights.folder(name, relative_to)


def _feature_extractor(base: Base, side: Any) -> CLIPImageProcessor:
    for folder in (base.image_encoder, base.folder / "feature_extractor"):
        if (folder / "preprocessor_config.json").is_file():
            return CLIPImageProcessor.from_pretrained(folder)
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turns the libraries' exceptions for a damaged folder into one BolidError, and silences their progress bars."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BolidError(f"the base pipeline at {folder} cannot be loaded: {error}") from error

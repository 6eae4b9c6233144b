"""The inference pipeline of a finished run: its base as the stock pipeline, with its method installed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, empty_views
from bolid_train.data.crops import time_ids
from bolid_train.data.encoders import Encoders, shorten
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.inference.reference_photos import ReferencePhoto
from bolid_train.methods import registry
from bolid_train.methods.adapter import Adapter
from bolid_train.methods.protocol import Method

_SHAPE = (
    "in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block", "down_block_types",
    "transformer_layers_per_block", "projection_class_embeddings_input_dim",
)  # fmt: skip
"""Configuration that two UNets share if one is fine-tuned from the other."""


@dataclass(frozen=True)
class InferencePipeline:
    """The stock pipeline `pipe`, with `method` installed on its UNet."""

    pipe: StableDiffusionXLPipeline
    method: Method
    settings: Train
    ref_dim: int

    @classmethod
    def from_run(
        cls,
        folder: Path,
        adapter: Adapter,
        relative_to: Path,
        base: str | None = None,
        lightning_file: Path | None = None,
    ) -> "InferencePipeline":
        """Loads the run in `folder`.

        Args:
            adapter: as `adapter.json` in `folder` describes it.
            relative_to: the folder to which paths in the settings are relative.
            base: a base fine-tuned from the run's, whose UNet, VAE and text encoders to use instead.
            lightning_file: the file of Lightning weights.

        Raises UsageError for a base of another shape, BolidError for files that do not fit or are unavailable.
        """
        settings = adapter.train_settings(folder / "adapter.json")
        run_base = Base.resolve(settings, relative_to)
        pipe = (_fine_tuned(base, run_base, settings) if base else run_base).pipeline(pick_device())
        if lightning_file:
            lightning.load(pipe, lightning_file)
        method = registry.resolve(adapter.method)(settings, adapter.ref_dim)
        method.install(pipe.unet)
        method.load(folder)
        return cls(pipe, method, settings, adapter.ref_dim)

    @torch.inference_mode()
    def batch(
        self, prompt: str, reference_photos: Sequence[ReferencePhoto], image_prompt: Image.Image | None = None
    ) -> tuple[Batch, Batch]:
        """Two batches of one row, with the prompt and with the negative prompt. All photos are of one person.

        The body comes from all photos. The reference is the mean of their CLIP embeddings (of the faces, if the
        settings ask for it), or the embedding of the image prompt, uncropped.
        """
        encoders, pipe, side = Encoders(self.pipe, self.settings), self.pipe, self.settings.resolution
        prompt_embeds, negative_embeds, pooled, negative_pooled = pipe.encode_prompt(shorten(pipe, prompt))
        photos, keypoints = [item.photo for item in reference_photos], [item.keypoints for item in reference_photos]
        references = torch.zeros(1, self.ref_dim)
        if image_prompt:
            references = encoders.references([image_prompt], [()])
        elif reference_photos:
            references = encoders.references(photos, keypoints)
        channels, view_side = pipe.unet.config.in_channels, self.settings.view_resolution // pipe.vae_scale_factor
        batch = Batch(
            latents=torch.zeros(1, channels, side // pipe.vae_scale_factor, side // pipe.vae_scale_factor),
            keypoints=torch.zeros(1, 17, 3),
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled,
            time_ids=time_ids((side, side))[None],
            image_embeds=references.mean(dim=0, keepdim=True),
            views=encoders.views(photos, keypoints)
            if reference_photos
            else empty_views(1, self.ref_dim, (channels, view_side, view_side)),
            random=RowRandom([0]),
        ).to(pipe.device)
        return batch, replace(batch, prompt_embeds=negative_embeds, pooled_prompt_embeds=negative_pooled)

    @torch.inference_mode()
    def conditions(self, batch: tuple[Batch, Batch], seed: int) -> tuple[UNetInputs, UNetInputs]:
        """The UNet's inputs with the person and the prompt, and without either (for guidance)."""
        positive, negative = (
            self.method.condition(replace(rows, random=RowRandom([seed], self.pipe.device))) for rows in batch
        )
        return positive, self.method.drop(self.method.drop(negative, "ref"), "body")

    @torch.inference_mode()
    def generate(
        self, conditions: tuple[UNetInputs, UNetInputs], steps: int, guidance: float, seed: int
    ) -> Image.Image:
        """Generates one image from noise of `seed`."""
        return sample(self.pipe, *conditions, steps, guidance, self.settings.resolution, [seed])[0]


def _fine_tuned(name: str, run_base: Base, settings: Train) -> Base:
    """The base called `name` with the run's image encoder, on whose embeddings the run was trained."""
    encoder = str(run_base.image_encoder.resolve())
    base = Base.resolve(settings.model_copy(update={"base": name, "image_encoder": encoder}), Path())
    expected, actual = (UNet2DConditionModel.load_config(one.folder, subfolder="unet") for one in (run_base, base))
    for key in _SHAPE:
        if expected.get(key) != actual.get(key):
            raise UsageError(
                f"base '{name}' has a UNet of another shape ({key} is {actual.get(key)}, not {expected.get(key)}); "
                f"name one that was fine-tuned from '{run_base.name}'"
            )
    return base

"""A finished run that paints: its base as the stock pipeline, with its method installed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, no_views
from bolid_train.data.crops import time_ids
from bolid_train.data.encoders import Encoders, shorten
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.inference.reference_photos import Portrait
from bolid_train.methods import registry
from bolid_train.methods.adapter import Adapter
from bolid_train.methods.protocol import Method

_SHAPE = (
    "in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block", "down_block_types",
    "transformer_layers_per_block", "projection_class_embeddings_input_dim",
)  # fmt: skip
"""What two UNets have alike when one is fine-tuned from the other."""


@dataclass(frozen=True)
class Painter:
    """`pipe` has `method` installed on its UNet."""

    pipe: StableDiffusionXLPipeline
    method: Method
    settings: Train
    ref_dim: int

    @classmethod
    def of(
        cls, folder: Path, made: Adapter, near: Path, base: str | None = None, fast: Path | None = None
    ) -> "Painter":
        """The run in `folder`, whose settings name files relative to `near`.

        Args:
            base: another base, fine-tuned from the run's own: its UNet, VAE and text encoders take their places.
            fast: the file of Lightning weights.

        Raises UsageError for a base of another shape, BolidError for files that do not fit or are not to be had.
        """
        settings = made.train_settings(folder / "adapter.json")
        chosen = Base.find(settings, near)
        if base:
            chosen = _another(base, chosen, settings)
        pipe = chosen.pipeline(pick_device())
        if fast:
            lightning.load(pipe, fast)
        method = registry.find(made.method)(settings, made.ref_dim)
        method.install(pipe.unet)
        method.load(folder)
        return cls(pipe, method, settings, made.ref_dim)

    @torch.inference_mode()
    def batch(
        self, prompt: str, people: Sequence[Portrait], image_prompt: Image.Image | None = None
    ) -> tuple[Batch, Batch]:
        """A row with the prompt and one with the negative prompt; both with the body of all `people`, who are one.

        The reference is the mean of the photos' CLIP embeddings (of the faces, where the settings say so), or the
        image prompt's alone, which is taken whole.
        """
        encoders, pipe, side = Encoders(self.pipe, self.settings), self.pipe, self.settings.resolution
        prompt_embeds, negative_embeds, pooled, negative_pooled = pipe.encode_prompt(shorten(pipe, prompt))
        photos, keypoints = [person.photo for person in people], [person.keypoints for person in people]
        references = torch.zeros(1, self.ref_dim)
        if image_prompt:
            references = encoders.references([image_prompt], [()])
        elif people:
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
            if people
            else no_views(1, self.ref_dim, (channels, view_side, view_side)),
            random=RowRandom([0]),
        ).to(pipe.device)
        return batch, replace(batch, prompt_embeds=negative_embeds, pooled_prompt_embeds=negative_pooled)

    @torch.inference_mode()
    def conditions(self, batch: tuple[Batch, Batch], seed: int) -> tuple[UNetInputs, UNetInputs]:
        """What the UNet gets with the person and the prompt, and without either (for guidance)."""
        given, bare = (
            self.method.condition(replace(rows, random=RowRandom([seed], self.pipe.device))) for rows in batch
        )
        return given, self.method.drop(self.method.drop(bare, "ref"), "body")

    @torch.inference_mode()
    def paint(self, conditions: tuple[UNetInputs, UNetInputs], steps: int, guidance: float, seed: int) -> Image.Image:
        """The picture of a seed."""
        return sample(self.pipe, *conditions, steps, guidance, self.settings.resolution, [seed])[0]


def _another(name: str, own: Base, settings: Train) -> Base:
    """The base called `name` with the run's own image encoder: what it says of a photo is what the run learnt from."""
    encoder = str(own.image_encoder.resolve())
    found = Base.find(settings.model_copy(update={"base": name, "image_encoder": encoder}), Path())
    mine, theirs = (UNet2DConditionModel.load_config(base.folder, subfolder="unet") for base in (own, found))
    for key in _SHAPE:
        if mine.get(key) != theirs.get(key):
            raise UsageError(
                f"base '{name}' has a UNet of another shape ({key} is {theirs.get(key)}, not {mine.get(key)}); "
                f"name one that was fine-tuned from '{own.name}'"
            )
    return found

"""The inference pipeline of a finished run: its base as the stock pipeline, with its method installed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.data.buckets import Size
from bolid_train.data.crops import time_ids
from bolid_train.data.features.batches import make_views, mean_of_photos
from bolid_train.data.features.feature import Feature, Photo, Tensors
from bolid_train.data.features.prompt import shorten
from bolid_train.data.features.views import fractions
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.precision import generation_precision
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.inference.boxes import Boxes, box_masks
from bolid_train.inference.reference_photos import ReferencePhoto
from bolid_train.methods import registry
from bolid_train.methods.adapter import Adapter
from bolid_train.methods.protocol import Method
from bolid_train.methods.spec import MethodSpec

_SHAPE = (
    "in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block", "down_block_types",
    "transformer_layers_per_block", "projection_class_embeddings_input_dim",
)  # fmt: skip
"""Configuration that two UNets share if one is fine-tuned from the other."""


@dataclass(frozen=True)
class Person:
    """What `bolid generate` is given of a person; nothing, if the person is to be sampled from the prompt."""

    photos: Sequence[ReferencePhoto] = ()
    image_prompt: Image.Image | None = None  # the reference, instead of the photos


@dataclass(frozen=True)
class InferencePipeline:
    """The stock pipeline `pipe`, with `method` installed on its UNet."""

    pipe: StableDiffusionXLPipeline
    method: Method
    spec: MethodSpec
    settings: Train
    base: Base
    features: Sequence[Feature]  # that the method reads

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
        settings, spec = adapter.train_settings(folder / "adapter.json"), registry.resolve(adapter.method)
        used = Base.resolve(settings, relative_to)
        if base:
            used = _fine_tuned(base, used, settings)
        pipe = used.pipeline(pick_device(), generation_precision(pick_device()))
        if lightning_file:
            lightning.load(pipe, lightning_file)
        method = spec.make(settings, used, relative_to)
        method.install(pipe.unet, used)
        method.load(folder)
        method.freeze()
        for name, weight in spec.default_scales.items():
            method.scale(name, weight)
        return cls(pipe, method, spec, settings, used, spec.make_features(settings, relative_to))

    @torch.inference_mode()
    def batch(
        self,
        prompt: str,
        people: Sequence[Person],
        negative_prompt: str | None = None,
        size: Size | None = None,
        pose: ReferencePhoto | None = None,
    ) -> tuple[Batch, Batch]:
        """Two batches with a row for each person, with the prompt and with the negative prompt.

        The views are all photos of the person. The reference is the mean of what the photos give, or that of the image
        prompt, uncropped.

        Args:
            size: width and height in pixels; by default, the square that the run was trained on.
            pose: a photo whose keypoints are the target's.
        """
        pipe, rows, size = self.pipe, len(people), size or (self.settings.resolution, self.settings.resolution)
        # Not "": the base may answer no negative prompt with zeros.
        negative = shorten(pipe, negative_prompt) if negative_prompt else None
        text = shorten(pipe, self.spec.text_of(prompt, any(person.photos for person in people)))
        prompt_embeds, negative_embeds, pooled, negative_pooled = (
            embeds.expand(rows, *embeds.shape[1:]) for embeds in pipe.encode_prompt(text, negative_prompt=negative)
        )
        width, height = (side // pipe.vae_scale_factor for side in size)
        keypoints = fractions(pose.keypoints, pose.photo.size) if pose else torch.zeros(17, 3)
        target = Photo(Image.new("RGB", size), pose.keypoints if pose else (), prompt)
        features: Tensors = {}
        for feature in self.features:
            features |= self._encode(feature, people, target)
        batch = Batch(
            latents=torch.zeros(rows, self.base.latent_channels, height, width),
            keypoints=keypoints.expand(rows, -1, -1),
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled,
            time_ids=time_ids(size).expand(rows, -1),
            views=make_views([person.photos for person in people], self.settings),
            features=features,
            random=RowRandom([0] * rows),
        ).to(pipe.device)
        return batch, replace(batch, prompt_embeds=negative_embeds, pooled_prompt_embeds=negative_pooled)

    def _encode(self, feature: Feature, people: Sequence[Person], target: Photo) -> Tensors:
        """The feature's tensors (P, …), by the role of its photos; zeros for photos that are not given."""
        encode, shapes = feature.encoder(self.pipe), feature.shapes(self.base)
        if feature.role == "target":
            return {name: value.expand(len(people), *value.shape) for name, value in encode([target])[0].items()}
        rows: list[list[Tensors]] = []
        for person in people:
            photos = [Photo(one.photo, one.keypoints) for one in person.photos]
            if person.image_prompt and feature.role == "reference":
                photos = [Photo(person.image_prompt, ())]
            rows.append(encode(photos) if photos else [])
        columns = {}
        for name in feature.dtypes:
            zeros = torch.zeros(1, *shapes[name], device=self.pipe.device)
            stacked = [torch.stack([one[name].float() for one in row]) if row else zeros for row in rows]
            if feature.role == "reference":
                stacked = [mean_of_photos(values)[None] for values in stacked]
            columns[name] = pad_sequence(stacked, batch_first=True)
        return {name: values[:, 0] for name, values in columns.items()} if feature.role == "reference" else columns

    @torch.inference_mode()
    def conditions(self, batch: tuple[Batch, Batch], seed: int, boxes: Boxes = ()) -> tuple[UNetInputs, UNetInputs]:
        """The UNet's inputs with the people and the prompt, and without either (for guidance).

        `boxes`: where in the image each person is, in pixels; without any, the first person conditions all of it.
        """
        rows = len(batch[0])
        positive, negative = (
            self.method.condition(replace(half, random=RowRandom([seed] * rows, self.pipe.device)))[0] for half in batch
        )
        for condition in self.spec.guided_conditions:
            if condition != "text":
                negative = self.method.drop(negative, condition)
        if not boxes:
            return positive, negative
        latents = batch[0].latents
        height, width = (side * self.pipe.vae_scale_factor for side in latents.shape[2:])
        masks = box_masks(boxes, width, height).to(latents)
        return self.method.place(positive, masks), self.method.place(negative, masks)

    @torch.inference_mode()
    def generate(
        self, conditions: tuple[UNetInputs, UNetInputs], steps: int, guidance: float, seed: int, size: Size
    ) -> Image.Image:
        """Generates one image of `size`, width and height, from noise of `seed`."""
        return sample(self.pipe, *conditions, steps, guidance, size, [seed])[0]


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

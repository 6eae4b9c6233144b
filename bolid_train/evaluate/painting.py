"""Draws what is measured: for every method the same people, prompts and noise."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.data.batch import Batch, no_views
from bolid_train.data.features import FeatureCache
from bolid_train.data.sampler import Pick
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.compared import Compared
from bolid_train.inference.pipeline import Painter
from bolid_train.methods.protocol import SOURCES, Method
from bolid_train.methods.text import Text

_ROWS, _PIXELS = 32, 2**22  # of a batch at most


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn: by the base, or, with Lightning's weights, in few steps without guidance."""

    steps: int
    guidance: float
    lightning: Path | None = None

    def __str__(self) -> str:
        how = "Lightning, no guidance" if self.lightning else f"guidance {self.guidance:g}"
        return f"{self.steps} steps, {how}"


@dataclass(frozen=True)
class Drawn:
    """N pictures, one a person and prompt: all prompts of the first person, then of the next."""

    pictures: Tensor  # (N, 3, H, W) in -1..1
    seconds: Tensor  # (N,): what each took, the encoders' work aside


class Studio:
    """Draws the cases with a base, and with runs on it."""

    def __init__(
        self, base: Base, sampling: Sampling, cases: Sequence[Case], caches: Sequence[FeatureCache], near: Path
    ) -> None:
        """`caches`: one for each way in which runs look at photos, filled; `near`: what file names in runs' settings
        are relative to."""
        self.base, self.sampling, self.cases, self.caches, self.near = base, sampling, cases, caches, near

    def bare(self) -> Drawn:
        """The base's own pictures of the prompts."""
        texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
        pipe = self.base.pipeline(pick_device(), **texts)
        if self.sampling.lightning:
            lightning.load(pipe, self.sampling.lightning)
        return self._draw(pipe, Text(self.caches[0].settings, 0), self.caches[0], 1)

    def run(self, run: Compared, views: Iterable[int]) -> Iterator[tuple[int, Drawn]]:
        """A run's pictures by number of views; with none, the body is drawn, as the prompt has it, and the reference
        left out."""
        [cache] = [cache for cache in self.caches if cache.settings == run.look]
        painter = Painter.of(run.folder, run.made, self.near, fast=self.sampling.lightning)
        for count in views:
            painter.method.scale("ref", 1.0 if count else 0.0)
            yield count, self._draw(painter.pipe, painter.method, cache, count)

    def loras(self, runs: Mapping[int, Compared], bare: Drawn) -> Drawn:
        """The pictures of LoRAs in the places of the base's; `runs`: by the number of the person that each is of. No
        photo is given, and where there is no LoRA, the base's pictures stay and seconds are NaN."""
        pictures, seconds = bare.pictures.clone(), torch.full_like(bare.seconds, torch.nan)
        for person, run in runs.items():
            alone = Studio(self.base, self.sampling, [self.cases[person]], self.caches, self.near)
            [(_, own)] = alone.run(run, [0])
            places = slice(person * len(own.pictures), (person + 1) * len(own.pictures))
            pictures[places], seconds[places] = own.pictures, own.seconds
        return Drawn(pictures, seconds)

    def _draw(self, pipe: StableDiffusionXLPipeline, method: Method, cache: FeatureCache, views: int) -> Drawn:
        pictures: list[Tensor] = []
        seconds: list[float] = []
        steps, guidance, side = self.sampling.steps, self.sampling.guidance, cache.settings.resolution
        for batch, seeds in self._batches(cache, views):
            started = time.monotonic()
            with torch.inference_mode():
                positive, negative = conditions_of(method, batch.to(pipe.device))
                images = sample(pipe, positive, negative, steps, guidance, side, seeds)
            seconds += [(time.monotonic() - started) / len(images)] * len(images)
            pictures += [to_pixels(image) for image in images]
        return Drawn(torch.stack(pictures), torch.tensor(seconds))

    def _batches(self, cache: FeatureCache, views: int) -> Iterator[tuple[Batch, list[int]]]:
        picks = [
            Pick(prompt, case.reference, case.views[: max(views, 1)], seed=seed)
            for case in self.cases
            for prompt, seed in zip(case.prompts, case.seeds, strict=True)
        ]
        rows = min(_ROWS, max(1, _PIXELS // cache.settings.resolution**2))
        for start in range(0, len(picks), rows):
            part = picks[start : start + rows]
            yield (
                make_batch(cache, part) if views else without_views(make_batch(cache, part)),
                [pick.seed for pick in part],
            )


def make_batch(cache: FeatureCache, picks: Sequence[Pick]) -> Batch:
    """The prompts are the targets' captions, and the reference is the mean of all views, as in `bolid generate`: so
    methods without a body get the same photos."""
    references = [torch.stack([cache.read(view, "image_embeds")[0] for view in pick.views]) for pick in picks]
    means = torch.stack([embeds.float().mean(0) for embeds in references])
    return replace(cache.batch(picks), image_embeds=means)


def conditions_of(method: Method, batch: Batch) -> tuple[UNetInputs, UNetInputs]:
    """What the UNet gets, and the same without any source, for guidance."""
    positive = negative = method.condition(batch)
    for source in SOURCES:
        negative = method.drop(negative, source)
    return positive, negative


def without_views(batch: Batch) -> Batch:
    """The batch of people of whom no photo is given."""
    latents = batch.views.latents
    none = no_views(len(batch), batch.views.embeds.shape[-1], (latents.shape[2], latents.shape[3], latents.shape[4]))
    return replace(batch, image_embeds=torch.zeros_like(batch.image_embeds), views=none)


def to_pixels(image: Image.Image) -> Tensor:
    """(3, H, W) in -1..1."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1


def to_image(pixels: Tensor) -> Image.Image:
    """From what `to_pixels` gives."""
    return Image.fromarray(((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())

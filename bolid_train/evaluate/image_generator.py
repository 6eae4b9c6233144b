"""Generates the images to evaluate, with the same people, prompts and noise for every method."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from bolid_train.data.batch import Batch
from bolid_train.data.features.batches import make_batch, without_photos
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.sampler import BatchItem
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.precision import generation_precision
from bolid_train.diffusion.sampler import sample
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.evaluate.batching import batches
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.features import EvaluationFeatures
from bolid_train.evaluate.finished_runs import FinishedRun
from bolid_train.inference.pipeline import InferencePipeline
from bolid_train.methods.protocol import Method
from bolid_train.methods.text.method import TextOnly


@dataclass(frozen=True)
class Sampling:
    """How images are generated: by the base, or, with Lightning's weights, in few steps without guidance."""

    steps: int
    guidance: float
    lightning: Path | None = None

    def __str__(self) -> str:
        guidance = "Lightning, no guidance" if self.lightning else f"guidance {self.guidance:g}"
        return f"{self.steps} steps, {guidance}"


@dataclass(frozen=True)
class GeneratedImages:
    """N images, one for each person and prompt: all prompts of the first person, then of the next. Each has the size at
    which its prompt's photo is trained."""

    images: list[Tensor]  # N of (3, H, W) in -1..1
    seconds: Tensor  # (N,): time for each, without encoders


class ImageGenerator:
    """Generates the cases' images with a base, and with runs on it."""

    def __init__(
        self, base: Base, sampling: Sampling, cases: Sequence[Case], features: EvaluationFeatures, relative_to: Path
    ) -> None:
        """`relative_to`: the folder to which paths in runs' settings are relative."""
        self.base, self.sampling, self.cases, self.relative_to = base, sampling, cases, relative_to
        self.features = features

    def generate_baseline(self) -> GeneratedImages:
        """The base's images of the prompts."""
        device = pick_device()
        unused = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "image_encoder")
        # As `InferencePipeline.from_run` loads it, so that a run that changes nothing gives the base's images.
        pipe = self.base.pipeline(device, generation_precision(device), **dict.fromkeys(unused))
        if self.sampling.lightning:
            lightning.load(pipe, self.sampling.lightning)
        cache = self.features.of_base
        return self._generate(pipe, TextOnly(cache.settings), ("text",), cache, 1)

    def generate(self, run: FinishedRun, views: Iterable[int]) -> Iterator[tuple[int, GeneratedImages]]:
        """A run's images by number of views. Without views, the body is sampled given the prompt, and there is no
        reference."""
        cache = self.features.of_run(run)
        pipeline = InferencePipeline.from_run(
            run.folder, run.adapter, self.relative_to, lightning_file=self.sampling.lightning
        )
        for count in views:
            pipeline.method.scale("ref", 1.0 if count else 0.0)
            yield count, self._generate(pipeline.pipe, pipeline.method, pipeline.spec.guided_conditions, cache, count)

    def generate_subjects(self, runs: Mapping[int, FinishedRun], baseline: GeneratedImages) -> GeneratedImages:
        """The images of subject-driven runs, generated without photos. For people without a run, the images are the
        base's and seconds are NaN. `runs`: by their person's number."""
        images, seconds = list(baseline.images), torch.full_like(baseline.seconds, torch.nan)
        for person, run in runs.items():
            generator = ImageGenerator(self.base, self.sampling, [self.cases[person]], self.features, self.relative_to)
            [(_, generated)] = generator.generate(run, [0])
            rows = slice(person * len(generated.images), (person + 1) * len(generated.images))
            images[rows], seconds[rows] = generated.images, generated.seconds
        return GeneratedImages(images, seconds)

    def _generate(
        self,
        pipe: StableDiffusionXLPipeline,
        method: Method,
        conditions: Sequence[str],
        cache: FeatureCache,
        views: int,
    ) -> GeneratedImages:
        items = [
            BatchItem(prompt, case.reference, case.views[: max(views, 1)], seed=seed)
            for case in self.cases
            for prompt, seed in zip(case.prompts, case.seeds, strict=True)
        ]
        sizes = [cache.size_of(item.target) for item in items]
        images: dict[int, Tensor] = {}
        seconds = torch.empty(len(items))
        for numbers in batches(sizes):
            size, seeds = sizes[numbers[0]], [items[number].seed for number in numbers]
            batch = make_batch(cache, [items[number] for number in numbers], average_references=True)
            if not views:
                batch = without_photos(batch, cache.features.values())
            started_at = time.monotonic()
            with torch.inference_mode():
                positive, negative = guidance_inputs(method, conditions, batch.to(pipe.device))
                of_batch = sample(pipe, positive, negative, self.sampling.steps, self.sampling.guidance, size, seeds)
            seconds[numbers] = (time.monotonic() - started_at) / len(numbers)
            images |= zip(numbers, map(to_pixels, of_batch), strict=True)
        return GeneratedImages([images[number] for number in range(len(items))], seconds)


def guidance_inputs(method: Method, conditions: Sequence[str], batch: Batch) -> tuple[UNetInputs, UNetInputs]:
    """The UNet's inputs, and the same without any of the method's conditions, for guidance."""
    positive, _ = method.condition(batch)
    negative = positive
    for condition in conditions:
        negative = method.drop(negative, condition)
    return positive, negative


def to_pixels(image: Image.Image) -> Tensor:
    """(3, H, W) in -1..1."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1


def to_image(pixels: Tensor) -> Image.Image:
    """The inverse of `to_pixels`."""
    return Image.fromarray(((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())

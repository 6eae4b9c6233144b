"""Training and generating with an adapter, on the small SDXL and one thread: the overhead over the bare computation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.rows import Row, compare
from bolid_data.manifest import Manifest
from bolid_train.data.batch import Batch
from bolid_train.data.features.base_features import base_features
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.features.feature import Photo, Role
from bolid_train.data.sampler import BatchItem
from bolid_train.data.shard_dataset import Sample, ShardDataset
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.precision import training_precision
from bolid_train.diffusion.sampler import sample
from bolid_train.evaluate.image_generator import guidance_inputs
from bolid_train.methods.registry import resolve
from bolid_train.methods.text.method import TextOnly
from bolid_train.settings import load
from bolid_train.training.run import LossLog, TrainingRun
from bolid_train.training.step import Training, make_accelerator
from small_world.dataset import write_dataset

_STEPS, _PEOPLE, _IMAGES = 4, 32, 8
_WORLD = Path("manifests/small-world.toml")


def rows(work: Path) -> list[Row]:
    """The manifest of the small world without L_id, whose images would dominate a step and hide the rest of it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loaded = _manifest()
        shards, people = _people(work)
        base = Base.resolve(loaded.train, loaded.folder)
        settings = loaded.train
        features = [*base_features(settings), *resolve(settings.method).make_features(settings, loaded.folder)]
        cache = FeatureCache(work / "features", base, settings, features)
        cache.fill(shards, people, pick_device())
        training = Training(loaded, cache, people, 1000, make_accelerator(settings))
        with TrainingRun(work / "run", False, False) as run, LossLog(run, 1) as log:
            results = _steps(training, log, _Encoding(shards, cache))
        return results + _generation(training, training.load(1)[0].select(slice(_IMAGES)))
    finally:
        torch.set_num_threads(threads)


def _manifest() -> Manifest:
    loaded = load(_WORLD)
    objective = loaded.train.objective.model_copy(update={"identity": 0.0})
    return loaded.model_copy(update={"train": loaded.train.model_copy(update={"objective": objective, "views": 1})})


def _people(work: Path) -> tuple[ShardDataset, dict[str, list[Sample]]]:
    """Some of the small world's validation people, newly drawn."""
    write_dataset(work / "data", ["validation"])
    shards = ShardDataset(work / "data" / "shards")
    return shards, dict(list(shards.people("val").items())[:_PEOPLE])


def _steps(training: Training, log: LossLog, encoding: "_Encoding") -> list[Row]:
    """All use the same objects; only what a step does around them differs."""
    numbers = range(1, _STEPS + 1)
    loaded = [training.load(number)[0] for number in numbers]
    bare = _Bare(training)

    def ours() -> None:
        for number in numbers:
            log.write(number, training.step(training.load(number)))

    def encoded() -> None:
        for number, batch in zip(numbers, loaded, strict=True):
            bare(encoding(training.sampler.items(number), batch))

    def computed() -> None:
        for batch in loaded:
            bare(batch)

    def read() -> None:
        for number in numbers:
            training.load(number)

    against: dict[str, Callable[[], object]] = {
        "forward, backward and AdamW alone, on batches in memory": computed,
        "the same, with photos and prompts encoded at every step, as in IP-Adapter's own script": encoded,
    }
    ours()  # the first step is slower
    what = "a step of the trainer: cache, drops, clipping, EMA, log"
    results = compare(what, _STEPS, "steps/s", ours, against)
    return results + compare("reading a step's features", _STEPS, "steps/s", read, {"a step of the trainer": ours})


class _Bare:
    """Loss, gradient and optimizer step, on the modules of the trainer."""

    def __init__(self, training: Training) -> None:
        scheduler = DDPMScheduler.from_pretrained(training.cache.base.folder, subfolder="scheduler")
        self.denoiser = Denoiser(training.unet, scheduler, training.settings.objective.min_snr)
        self.method = training.method
        self.optimizer = training.optimization.optimizer.optimizer

    def __call__(self, batch: Batch) -> None:
        inputs, state = self.method.condition(batch)
        terms = self.method.losses(self.denoiser, batch, state)
        loss = self.denoiser.loss(batch.latents, inputs, batch.random)
        (loss + torch.stack(list(terms.values())).sum()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class _Encoding:
    """Computes the contents of the feature cache for each batch."""

    def __init__(self, shards: ShardDataset, cache: FeatureCache) -> None:
        self.shards = shards
        pipe = cache.base.pipeline(pick_device(), unet=None)
        self.encoders = [(feature, feature.encoder(pipe)) for feature in cache.features.values()]

    def __call__(self, items: Sequence[BatchItem], batch: Batch) -> Batch:
        photos: dict[Role, list[list[Sample]]] = {
            "target": [[item.target] for item in items],
            "reference": [[item.reference] for item in items],
            "view": [list(item.views) for item in items],
        }
        encoded: dict[str, Tensor] = {}
        with torch.no_grad(), torch.autocast(pick_device().type, torch.bfloat16):
            for feature, encode in self.encoders:
                rows = photos[feature.role]
                tensors = encode([self._photo(sample) for row in rows for sample in row])
                for name in feature.dtypes:
                    column = torch.stack([photo[name].float() for photo in tensors]).split([len(row) for row in rows])
                    padded = pad_sequence(list(column), batch_first=True)
                    encoded[name] = padded if feature.role == "view" else padded[:, 0]
        fields: dict[str, Any] = {name: encoded.pop(name) for name in list(encoded) if name in vars(batch)}
        return replace(batch, **fields, features=encoded)

    def _photo(self, sample: Sample) -> Photo:
        return Photo(self.shards.photo(sample), sample.keypoints, sample.caption)


@torch.inference_mode()
def _generation(training: Training, batch: Batch) -> list[Row]:
    """The same prompts, noise, steps and guidance, with the adapter and with the base alone."""
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    base, device = training.cache.base, training.unet.device
    precision = training_precision(training.settings, device)
    methods = {base.pipeline(device, precision, unet=training.unet, **texts): training.method}
    methods[base.pipeline(device, precision, **texts)] = TextOnly(training.settings)

    conditions = training.guided_conditions

    def generate(pipe: StableDiffusionXLPipeline) -> None:
        sample(
            pipe,
            *guidance_inputs(methods[pipe], conditions, batch),
            10,
            5.0,
            training.settings.resolution,
            range(len(batch)),
        )

    adapted, bare = (partial(generate, pipe) for pipe in methods)
    what = f"generating {len(batch)} images with the adapter, 10 steps with guidance"
    return compare(what, len(batch), "images/s", adapted, {"the base alone": bare})

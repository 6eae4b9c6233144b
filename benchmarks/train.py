"""Training and generating with an adapter, on the small SDXL and one thread: the overhead over the bare computation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.rows import Row, compare
from bolid_data import manifest
from bolid_data.manifest import Manifest
from bolid_train.data.batch import Batch, Views
from bolid_train.data.crops import crop
from bolid_train.data.encoders import Encoders
from bolid_train.data.features import FeatureCache
from bolid_train.data.sampler import BatchItem
from bolid_train.data.shard_dataset import Sample, ShardDataset
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.sampler import sample
from bolid_train.evaluate.image_generator import guidance_inputs
from bolid_train.methods.text import TextOnly
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
        cache = FeatureCache(work / "features", base, loaded.train)
        cache.fill(shards, people, pick_device())
        training = Training(loaded, cache, people, 1000, make_accelerator(loaded.train))
        with TrainingRun(work / "run", False, False) as run, LossLog(run, 1) as log:
            results = _steps(training, log, _Encoding(shards, base, loaded))
        return results + _generation(training, training.load(1)[0].select(slice(_IMAGES)))
    finally:
        torch.set_num_threads(threads)


def _manifest() -> Manifest:
    loaded = manifest.load(_WORLD)
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
        self.method, self.autocast = training.method, training.accelerator.autocast
        self.optimizer = training.optimization.optimizer.optimizer

    def __call__(self, batch: Batch) -> None:
        with self.autocast():
            terms = self.method.losses(self.denoiser, batch)
            loss = self.denoiser.loss(batch.latents, self.method.condition(batch), batch.random)
        (loss + torch.stack(list(terms.values())).sum()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class _Encoding:
    """Computes the contents of the feature cache for each batch."""

    def __init__(self, shards: ShardDataset, base: Base, loaded: Manifest) -> None:
        self.shards, self.settings = shards, loaded.train
        self.encoders = Encoders(base.pipeline(pick_device(), unet=None), loaded.train)

    def __call__(self, picks: Sequence[BatchItem], batch: Batch) -> Batch:
        with torch.autocast(pick_device().type, torch.bfloat16):
            size = self.settings.resolution, self.settings.resolution
            targets = [crop(self.shards.photo(pick.target), pick.target.keypoints, size)[0] for pick in picks]
            prompt_embeds, pooled = self.encoders.text([pick.target.caption for pick in picks])
            references = [pick.reference for pick in picks]
            return replace(
                batch,
                latents=self.encoders.latents(targets).float(),
                prompt_embeds=prompt_embeds.float(),
                pooled_prompt_embeds=pooled.float(),
                image_embeds=self.encoders.references(
                    [self.shards.photo(photo) for photo in references], [photo.keypoints for photo in references]
                ).float(),
                views=self._views([list(pick.views) for pick in picks]),
            )

    def _views(self, people: list[list[Sample]]) -> Views:
        samples = [sample for group in people for sample in group]
        views = self.encoders.views([self.shards.photo(s) for s in samples], [s.keypoints for s in samples])
        counts = [len(group) for group in people]

        def pad(values: Tensor) -> Tensor:
            return pad_sequence(list(values[0].float().split(counts)), batch_first=True)

        return Views(
            *(pad(values) for values in (views.embeds, views.latents, views.keypoints, views.sizes, views.confidence))
        )


@torch.inference_mode()
def _generation(training: Training, batch: Batch) -> list[Row]:
    """The same prompts, noise, steps and guidance, with the adapter and with the base alone."""
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    base, device = training.cache.base, training.unet.device
    methods = {base.pipeline(device, unet=training.unet, **texts): training.method}
    methods[base.pipeline(device, **texts)] = TextOnly(training.settings, 0)

    def generate(pipe: StableDiffusionXLPipeline) -> None:
        sample(pipe, *guidance_inputs(methods[pipe], batch), 10, 5.0, training.settings.resolution, range(len(batch)))

    adapted, bare = (partial(generate, pipe) for pipe in methods)
    what = f"generating {len(batch)} images with the adapter, 10 steps with guidance"
    return compare(what, len(batch), "images/s", adapted, {"the base alone": bare})

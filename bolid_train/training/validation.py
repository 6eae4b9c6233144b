"""The validation grid: images with the same people, prompts and noise at every step, so that changes are visible."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.features.feature import NO_PHOTO, Photo, Tensors
from bolid_train.data.features.prompt import Prompt
from bolid_train.data.preflight import Subject, usable_people
from bolid_train.data.sampler import BatchItem
from bolid_train.data.shard_dataset import People, Sample, ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.precision import encoding_precision, training_precision
from bolid_train.diffusion.sampler import decode, sample
from bolid_train.evaluate.cases import Case, make_case
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.image_generator import guidance_inputs
from bolid_train.methods import registry
from bolid_train.methods.protocol import Method

_PEOPLE, _PHOTOS, _PROMPTS = 4, 9, 3
_STEPS, _GUIDANCE = 10, 5.0


@dataclass(frozen=True)
class ValidationPrompt:
    """A prompt of `[train] prompts`."""

    text: str
    tensors: Tensors


@torch.inference_mode()
def encode_prompts(
    prompts: Sequence[str], base: Base, settings: Train, device: torch.device, relative_to: Path
) -> list[ValidationPrompt]:
    """Encodes the prompts with the base's text encoders, which are loaded only if there are any, and as the method
    reads captions besides. `relative_to`: the folder to which paths in the settings are relative."""
    if not prompts:
        return []
    pipe = base.pipeline(device, encoding_precision(settings, device), unet=None, vae=None)
    of_method = registry.resolve(settings.method).make_features(settings, relative_to)
    features = [Prompt(settings), *(feature for feature in of_method if feature.inputs == Prompt.inputs)]
    photos = [Photo(NO_PHOTO, (), prompt) for prompt in prompts]
    encoded: list[Tensors] = [{} for _ in prompts]
    for feature in features:
        encoded = [a | b for a, b in zip(encoded, feature.encoder(pipe)(photos), strict=True)]
    return [ValidationPrompt(prompt, tensors) for prompt, tensors in zip(prompts, encoded, strict=True)]


def validation_people(
    shards: ShardDataset, settings: Train, training_people: People, subject: Subject | None = None
) -> People:
    """The people and photos whose features `validate` needs: four people of `val` with nine photos each, or, if `val`
    is empty, four of those trained on with all their photos; the subject, if there is one."""
    validation = {} if subject else usable_people(shards, settings, "val")
    people = dict(list((validation or training_people).items())[:_PEOPLE])
    return {person: photos if person in training_people else photos[:_PHOTOS] for person, photos in people.items()}


@torch.inference_mode()
def validate(
    cache: FeatureCache,
    method: Method,
    conditions: Sequence[str],
    unet: UNet2DConditionModel,
    people: People,
    folder: Path,
    step: int,
    seed: int,
    extra_prompts: Sequence[ValidationPrompt] = (),
) -> None:
    """Writes `step-<step>.png` to `folder`: for each person, the reference photo as decoded by the VAE, and images of
    three prompts. `method`, of whose conditions guidance leaves out these, is installed on `unet`.

    All inputs come from the feature cache, so neither photos nor text encoders are needed. Prompts are captions of the
    other people in the grid, or of the same person if there is no other, and `extra_prompts`.
    """
    if not people:
        return
    no_text_encoders = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    precision = training_precision(cache.settings, unet.device)
    pipe = cache.base.pipeline(unet.device, precision, unet=unet, image_encoder=None, **no_text_encoders)
    rows = []
    for person in people:
        case = make_case(person, people, seed, cache.settings.views, _PROMPTS)
        captions = [prompt.caption for prompt in case.prompts] + [prompt.text for prompt in extra_prompts]
        images = zip(_generate(case, cache, method, conditions, pipe, extra_prompts), captions, strict=True)
        rows.append([(_reference(case, cache, pipe), ""), *images])
    titles = ["reference", *(f"prompt {number + 1}" for number in range(_PROMPTS + len(extra_prompts)))]
    write_grid(titles, rows, folder / f"step-{step:08d}.png")


def _reference(case: Case, cache: FeatureCache, pipe: StableDiffusionXLPipeline) -> Image.Image:
    latents = cache.read(case.reference, "latents")[0][None]
    return decode(pipe, latents.to(pipe.device, torch.float32))[0]


def _generate(
    case: Case,
    cache: FeatureCache,
    method: Method,
    conditions: Sequence[str],
    pipe: StableDiffusionXLPipeline,
    extra_prompts: Sequence[ValidationPrompt],
) -> list[Image.Image]:
    """One image per prompt, of the prompt photo's training size, then one per extra prompt, of the reference's;
    images of one size are generated together."""
    prompts: list[tuple[Sample, ValidationPrompt | None]] = [(prompt, None) for prompt in case.prompts]
    prompts += [(case.reference, prompt) for prompt in extra_prompts]
    seeds = [case.seeds[number % len(case.seeds)] for number in range(len(prompts))]
    images: dict[int, Image.Image] = {}
    sizes = [cache.size_of(target) for target, _ in prompts]
    for size in dict.fromkeys(sizes):
        numbers = [number for number, prompt_size in enumerate(sizes) if prompt_size == size]
        items = [BatchItem(prompts[number][0], case.reference, case.views, seed=seeds[number]) for number in numbers]
        batch = _with_prompts(make_batch(cache, items), [prompts[number][1] for number in numbers]).to(pipe.device)
        inputs = guidance_inputs(method, conditions, batch)
        of_size = sample(pipe, *inputs, _STEPS, _GUIDANCE, size, [seeds[number] for number in numbers])
        images |= dict(zip(numbers, of_size, strict=True))
    return [images[number] for number in range(len(prompts))]


def _with_prompts(batch: Batch, prompts: Sequence[ValidationPrompt | None]) -> Batch:
    """The batch with own prompts in the rows that have one."""
    replaced = {row: prompt.tensors for row, prompt in enumerate(prompts) if prompt}
    columns = {name: getattr(batch, name).clone() for name in ("prompt_embeds", "pooled_prompt_embeds")}
    of_method = {name for tensors in replaced.values() for name in tensors} - columns.keys()
    features = {name: batch.features[name].clone() for name in of_method}
    for row, tensors in replaced.items():
        for name, column in (columns | features).items():
            column[row] = tensors[name].to(column)
    return replace(batch, **columns, features=dict(batch.features) | features)

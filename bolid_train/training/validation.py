"""The validation grid: images with the same people, prompts and noise at every step, so that changes are visible."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from bolid_data.manifest import Train
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.preflight import Subject, usable_people
from bolid_train.data.sampler import BatchItem
from bolid_train.data.shard_dataset import People, ShardDataset
from bolid_train.diffusion.sampler import sample
from bolid_train.evaluate.cases import Case, make_case
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.image_generator import guidance_inputs, to_image
from bolid_train.methods.protocol import Method

_PEOPLE, _PHOTOS, _PROMPTS = 4, 9, 3
_STEPS, _GUIDANCE = 10, 5.0


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
) -> None:
    """Writes `step-<step>.png` to `folder`: for each person, the reference photo as decoded by the VAE, and images of
    three prompts. `method`, which has these conditions, is installed on `unet`.

    All inputs come from the feature cache, so neither photos nor text encoders are needed. Prompts are captions of the
    other people in the grid, or of the same person if there is no other.
    """
    if not people:
        return
    no_text_encoders = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = cache.base.pipeline(unet.device, unet=unet, **no_text_encoders)
    rows = []
    for person in people:
        case = make_case(person, people, seed, cache.settings.views, _PROMPTS)
        captions = (prompt.caption for prompt in case.prompts)
        images = zip(_generate(case, cache, method, conditions, pipe), captions, strict=True)
        rows.append([(_reference(case, cache, pipe), ""), *images])
    titles = ["reference", *(f"prompt {number + 1}" for number in range(_PROMPTS))]
    write_grid(titles, rows, folder / f"step-{step:08d}.png")


def _reference(case: Case, cache: FeatureCache, pipe: StableDiffusionXLPipeline) -> Image.Image:
    latents = cache.read(case.reference, "latents")[0][None].to(pipe.device, torch.float32)
    return to_image(pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample[0].cpu())


def _generate(
    case: Case, cache: FeatureCache, method: Method, conditions: Sequence[str], pipe: StableDiffusionXLPipeline
) -> list[Image.Image]:
    """One image per prompt, of the prompt photo's training size; images of one size are generated together."""
    images: dict[int, Image.Image] = {}
    sizes = [cache.size_of(prompt) for prompt in case.prompts]
    for size in dict.fromkeys(sizes):
        numbers = [number for number, prompt_size in enumerate(sizes) if prompt_size == size]
        seeds = [case.seeds[number] for number in numbers]
        items = [
            BatchItem(case.prompts[number], case.reference, case.views, seed=case.seeds[number]) for number in numbers
        ]
        with torch.autocast(pipe.device.type, torch.bfloat16, pipe.device.type != "cpu"):
            inputs = guidance_inputs(method, conditions, make_batch(cache, items).to(pipe.device))
            images |= dict(zip(numbers, sample(pipe, *inputs, _STEPS, _GUIDANCE, size, seeds), strict=True))
    return [images[number] for number in range(len(sizes))]

"""The validation grid: pictures of the same people, prompts and noise at every look, so that one sees what changes."""

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from bolid_data.manifest import Train
from bolid_train.data.features import FeatureCache
from bolid_train.data.preflight import usable_people
from bolid_train.data.sampler import Pick
from bolid_train.data.shard_dataset import People, Shards
from bolid_train.diffusion.sampler import sample
from bolid_train.evaluate.cases import Case, case_of
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.painting import conditions_of, to_image
from bolid_train.methods.protocol import Method

_PEOPLE, _PHOTOS, _PROMPTS = 4, 9, 3
_STEPS, _GUIDANCE = 10, 5.0


def validation_people(shards: Shards, settings: Train) -> People:
    """Four people of `val` with nine photos each, or, where there is no one, of those trained on with all of theirs:
    whose features `validate` needs."""
    trained = usable_people(shards, settings)
    people = dict(list((usable_people(shards, settings, "val") or trained).items())[:_PEOPLE])
    return {person: photos if person in trained else photos[:_PHOTOS] for person, photos in people.items()}


@torch.inference_mode()
def validate(
    cache: FeatureCache,
    method: Method,
    unet: UNet2DConditionModel,
    people: People,
    folder: Path,
    step: int,
    seed: int,
) -> None:
    """Writes `step-<step>.png` to `folder`: each person's reference photo, as the VAE has it, and what three prompts
    give. `method` is installed on `unet`.

    Everything comes from the feature cache: neither photos nor a text encoder are needed. Prompts are captions of the
    others in the grid, or the person's own where there are none.
    """
    if not people:
        return
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = cache.base.pipeline(unet.device, unet=unet, **texts)
    rows = []
    for person in people:
        case = case_of(person, people, seed, cache.settings.views, _PROMPTS)
        drawn = zip(_draw(case, cache, method, pipe), (prompt.caption for prompt in case.prompts), strict=True)
        rows.append([(_reference(case, cache, pipe), ""), *drawn])
    titles = ["reference", *(f"prompt {number + 1}" for number in range(_PROMPTS))]
    write_grid(titles, rows, folder / f"step-{step:08d}.png")


def _reference(case: Case, cache: FeatureCache, pipe: StableDiffusionXLPipeline) -> Image.Image:
    latents = cache.read(case.reference, "latents")[0][None].to(pipe.device, torch.float32)
    return to_image(pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample[0].cpu())


def _draw(case: Case, cache: FeatureCache, method: Method, pipe: StableDiffusionXLPipeline) -> list[Image.Image]:
    """A picture a prompt, of the size that its own photo is trained at; those of one size together."""
    drawn: dict[int, Image.Image] = {}
    sizes = [cache.size_of(prompt) for prompt in case.prompts]
    for size in dict.fromkeys(sizes):
        numbers = [number for number, own in enumerate(sizes) if own == size]
        noise = [case.seeds[number] for number in numbers]
        picks = [Pick(case.prompts[number], case.reference, case.views, seed=case.seeds[number]) for number in numbers]
        with torch.autocast(pipe.device.type, torch.bfloat16, pipe.device.type != "cpu"):
            inputs = conditions_of(method, cache.batch(picks).to(pipe.device))
            drawn |= dict(zip(numbers, sample(pipe, *inputs, _STEPS, _GUIDANCE, size, noise), strict=True))
    return [drawn[number] for number in range(len(sizes))]

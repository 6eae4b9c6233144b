"""Lightning of the base of the small world in three dimensions: trained for two steps, it is one for the product."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from bolid_train.diffusion import lightning as product
from bolid_train.files import write_safetensors
from small_world.pipeline import load_small_sdxl
from small_world.training import lightning
from small_world.world3d.photos import Photos
from tests.support.narrow_world import NARROW, write_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def test_it_is_trained_on_where_the_base_goes_and_loads_as_any_lightning(
    base: Path, few: Photos, tmp_path: Path
) -> None:
    pipe = load_small_sdxl(NARROW, base)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    kept = lightning.follow_all(pipe, few, NARROW, 4, tmp_path, batch=4)
    assert kept["latents"].shape == (4, 5, 8, 16, 16)
    again = lightning.follow_all(pipe, few, NARROW, 4, tmp_path, batch=4)
    assert all(torch.equal(kept[name], value) for name, value in again.items())

    schedule = replace(lightning.SCHEDULES[NARROW.name], steps=2, warmup=1, report_every=1)
    file = tmp_path / "lora.safetensors"
    write_safetensors(lightning.train(pipe, kept, schedule, tmp_path / "run", batch=4), file)
    plain, fast = load_small_sdxl(NARROW, base), load_small_sdxl(NARROW, base)
    product.load(fast, file)
    plain.scheduler = fast.scheduler
    images = [_draw(pipe) for pipe in (plain, fast)]
    assert images[0].shape == (2, 3, 128, 128)
    assert not torch.equal(images[0], images[1])


def _draw(pipe: lightning.StableDiffusionXLPipeline) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    prompts = ["a photo of a person from behind"] * 2
    images: torch.Tensor = pipe(
        prompts, num_inference_steps=4, guidance_scale=0.0, generator=generator, output_type="pt"
    ).images
    return images


def test_what_is_followed_leads_from_noise_to_an_image() -> None:
    pipe = load_small_sdxl()
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    prompts = ["a full-body photo of a person, in a garden", "a waist-up photo of a person, by the sea"]
    spread = lightning.follow(pipe, prompts, torch.Generator().manual_seed(0))["latents"].std(dim=(0, 2, 3, 4))
    assert (spread.diff() < 0).all()
    assert spread[0] > 10 and 0.7 < spread[-1] < 1.5


def test_the_single_steps_know_the_side_of_the_photos(base: Path) -> None:
    pipe = load_small_sdxl(NARROW, base)
    assert lightning.Quarters(pipe, {}).time_ids[0].tolist() == [128, 128, 0, 0, 128, 128]

"""Loads the small SDXLs as stock pipelines, and makes them Lightning ones."""

from pathlib import Path

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

from bolid_data.weights import embedded_path
from small_world.worlds import FLAT, World


def load_small_sdxl(world: World = FLAT, folder: Path | None = None) -> StableDiffusionXLPipeline:
    """The world's committed base in float32, or the one in `folder`."""
    folder = folder or embedded_path(world.model("small-sdxl"))
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_small_lightning(world: World = FLAT) -> StableDiffusionXLPipeline:
    """The same with its Lightning LoRA: 4 steps, trailing timesteps, `guidance_scale=0`."""
    pipe, lora = load_small_sdxl(world), embedded_path(world.model("small-lightning"))
    pipe.load_lora_weights(lora.parent, weight_name=lora.name)
    pipe.fuse_lora()
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    return pipe

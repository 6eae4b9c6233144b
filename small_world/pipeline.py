"""Loads the small SDXL as a stock pipeline, and makes it a Lightning one."""

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

from small_world.sdxl import FOLDER, LIGHTNING


def load_small_sdxl() -> StableDiffusionXLPipeline:
    """The committed base in float32."""
    pipe = StableDiffusionXLPipeline.from_pretrained(FOLDER, dtype=torch.float32, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_small_lightning() -> StableDiffusionXLPipeline:
    """The same with its Lightning LoRA: 4 steps, trailing timesteps, `guidance_scale=0`."""
    pipe = load_small_sdxl()
    pipe.load_lora_weights(LIGHTNING.parent, weight_name=LIGHTNING.name)
    pipe.fuse_lora()
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    return pipe

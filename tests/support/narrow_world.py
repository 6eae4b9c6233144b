"""The three-dimensional small world with an SDXL of so few channels that tests can train it."""

from dataclasses import replace
from pathlib import Path

import torch

from small_world.sdxl import Size, build_vae
from small_world.tokenizer import build_tokenizer
from small_world.training.base import TextToImage, save
from small_world.worlds import WORLD_3D

NARROW = replace(WORLD_3D, size=Size(128, (8, 8, 8, 16), (32, 32, 64), (1, 1, 2), 8))


def write_base(folder: Path) -> Path:
    """A pipeline with random weights, and no image encoder."""
    torch.manual_seed(0)
    save(TextToImage(build_tokenizer(NARROW.vocabulary), NARROW.size), build_vae(NARROW.size), folder, NARROW)
    return folder

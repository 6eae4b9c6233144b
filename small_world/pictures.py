"""Draws the pictures of docs/small-world.md: `python -m small_world.pictures [FOLDER]`."""

import argparse
import textwrap
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from small_world.check.base import Sample, one_prompt, samplers
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.sheet import COLUMNS, sheet, to_bytes
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT, SECOND_STYLE, VALIDATION
from small_world.worlds import FLAT

_ENLARGED = 2


def draw(folder: Path) -> None:
    """Writes every picture to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out, validation = draw_split(HELD_OUT), draw_split(VALIDATION)
    _save(_people(validation, 6), folder / "people.png")
    _save(_people(draw_split(SECOND_STYLE), 3), folder / "second-style.png")
    _save(_round_trip(held_out), folder / "decoded.png")
    drawn = samplers()
    for name, sample in drawn.items():
        _save(sample([one_prompt(FLAT)] * 3 * COLUMNS, 2), folder / f"one-prompt-{name}.png")
    _prompts(held_out, drawn, folder / "prompts.png")


def _people(photos: Photos, people: int) -> Tensor:
    """A row a person."""
    rows = [np.flatnonzero(photos.people == person)[:COLUMNS] for person in range(people)]
    return pixels(photos, torch.from_numpy(np.concatenate(rows)))


def _round_trip(photos: Photos) -> Tensor:
    """Photos, and beneath them the same after the VAE."""
    images = pixels(photos, torch.arange(0, len(photos), len(photos) // COLUMNS)[:COLUMNS])
    vae = load_small_sdxl().vae
    with torch.inference_mode():
        return torch.cat([images, vae.decode(vae.encode(images).latent_dist.mean).sample])


def _save(images: Tensor, path: Path) -> None:
    """Images (N, 3, H, W) in -1..1 as an enlarged sheet."""
    drawn = sheet(images)
    drawn.resize((drawn.width * _ENLARGED, drawn.height * _ENLARGED), Image.Resampling.NEAREST).save(path)


def _prompts(photos: Photos, drawn: dict[str, Sample], path: Path) -> None:
    """Prompts that nobody trained on, with three samples of the base and one of Lightning each."""
    prompts = [str(photos.caption(row)) for row in range(3, len(photos), len(photos) // 6)][:6]
    samples = [to_bytes(drawn["base"](prompts, seed)) for seed in range(3)] + [to_bytes(drawn["lightning"](prompts, 0))]
    figure = Figure(figsize=(10, 2.1 * len(prompts)), layout="constrained")
    axes = figure.subplots(len(prompts), 5, width_ratios=(1.6, 1, 1, 1, 1))
    for row, prompt in enumerate(prompts):
        axes[row, 0].text(0, 0.5, textwrap.fill(prompt, 34), va="center", fontsize=9)
        for column, tiles in enumerate(samples):
            axes[row, column + 1].imshow(tiles[row], interpolation="nearest")
            axes[row, column + 1].set_title("Lightning, 4 steps" if column == 3 else f"base, seed {column}", fontsize=8)
        for axis in axes[row]:
            axis.axis("off")
    figure.savefig(path, dpi=90)


def main() -> None:
    """Draws the documentation's pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/small-world"))
    draw(parser.parse_args().folder)


if __name__ == "__main__":
    main()

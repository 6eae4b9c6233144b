"""Draws what a base and its Lightning version generate: `python -m small_world.base_pictures FOLDER --world 3d`.

`samples.jpg`: photos that no model was trained on; below each, samples of the base and of Lightning with its caption.
`one-prompt-base.jpg`, `one-prompt-lightning.jpg`: one prompt, 24 times. `nearest.jpg`: of samples for 64 prompts, those
that are nearest to a photo of the corpus, and below each that photo; then the same of 64 photos that are not in it.
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from small_world.check.base import Sample, captions, one_prompt, samplers
from small_world.check.memorization import decoded, nearest
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.sheet import COLUMNS, sheet
from small_world.worlds import World, WorldPhotos, add_options, choose

_PROMPTS = 2 * COLUMNS
_SAMPLES = 3 * COLUMNS
_COMPARED = 64
_QUALITY = 85


def draw(world: World, corpus: WorldPhotos, folder: Path) -> None:
    """Writes every picture to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out, drawn, vae = world.draw("held_out"), samplers(world), load_small_sdxl(world).vae
    pictures = {
        "samples": beside(held_out, drawn, world),
        "nearest": above_nearest(held_out, corpus, drawn["base"], vae, world),
        **{f"one-prompt-{name}": sample([one_prompt(world)] * _SAMPLES, 2) for name, sample in drawn.items()},
    }
    for name, images in pictures.items():
        sheet(images).save(folder / f"{name}.jpg", quality=_QUALITY)


def beside(photos: WorldPhotos, drawn: dict[str, Sample], world: World) -> Tensor:
    """A row of photos, a row of each sampler's images, and so on."""
    rows, prompts = _spread_over(photos, _PROMPTS, world)
    kinds = [pixels(photos, rows), *(sample(prompts, 0) for sample in drawn.values())]
    return torch.cat([part for parts in zip(*(kind.split(COLUMNS) for kind in kinds), strict=True) for part in parts])


def above_nearest(photos: WorldPhotos, corpus: WorldPhotos, sample: Sample, vae: AutoencoderKL, world: World) -> Tensor:
    """A row of samples above the nearest photos of the corpus, and a row of `photos` above theirs."""
    rows, prompts = _spread_over(photos, _COMPARED, world)
    parts = []
    for images in (sample(prompts, 1), decoded(vae, pixels(photos, rows))):
        found = nearest(images, corpus, world.mirrored)
        chosen = found.distances[:, 0].argsort()[:COLUMNS]
        theirs, mirrored = pixels(corpus, found.rows[chosen]), found.mirrored[chosen, None, None, None]
        parts += [images[chosen], torch.where(mirrored, theirs.flip(3), theirs)]
    return torch.cat(parts)


def _spread_over(photos: WorldPhotos, count: int, world: World) -> tuple[Tensor, list[str]]:
    """Numbers of so many photos, and their captions."""
    rows = torch.linspace(0, len(photos) - 1, count).long()
    return rows, captions(photos, rows, world)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    add_options(parser)
    arguments = parser.parse_args()
    draw(*choose(parser, arguments), arguments.folder)


if __name__ == "__main__":
    main()

"""The base and its Lightning version: do samples show what prompts ask, and nothing that no prompt asked?"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray
from torch import Tensor

from bolid_train.data.proportions import proportions
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.attributes import load_attributes
from bolid_train.embedded.shape import load_shape_judge
from small_world.pipeline import load_small_lightning, load_small_sdxl
from small_world.pixels import pixels
from small_world.worlds import FLAT, UNSAID, WORLD_3D, World, WorldPhotos

PROMPTS = 200
ASKED = {
    FLAT.name: ("top", "bottom", "hair", "framing"),
    WORLD_3D.name: ("top", "bottom", "hair", "framing", "facing"),
}
"""The attributes that count together."""

GUIDANCE, STEPS = 3.0, 25
SAMPLES = 100
"""Of one prompt."""

_ASKED = {FLAT.name: "colours, hair and framing", WORLD_3D.name: "colours, hair, framing and side"}
_BODY_SHOWN = {
    FLAT.name: {"framing": "full-body", "arms": "arms down"},
    WORLD_3D.name: {
        "framing": "full-body", "facing": "from the front", "stance": "standing", "arms": "arms down",
    },
}  # fmt: skip
_PLACE = {FLAT.name: {"background": "in a studio"}, WORLD_3D.name: {"place": "in a studio"}}
_BATCH = 50

Sample = Callable[[list[str], int], Tensor]
"""Prompts and a seed → images (B, 3, H, W) in -1..1."""

Bodies = Mapping[str, NDArray[np.float32]]
"""What is read of the bodies on N images, by kind: (N, values), NaN for what is not seen."""


def samplers(world: World = FLAT) -> dict[str, Sample]:
    """The base at 25 steps with guidance and Lightning at 4 without, by name."""
    return {
        "base": sampler(load_small_sdxl(world), num_inference_steps=STEPS, guidance_scale=GUIDANCE),
        "lightning": sampler(load_small_lightning(world), num_inference_steps=4, guidance_scale=0.0),
    }


def check(world: World = FLAT) -> dict[str, float]:
    """Share of prompts of which a classifier finds each thing asked for, against the same on real photos; ratio of
    the spread of bodies among samples of one prompt to that among real photos of that kind."""
    photos = world.draw("held_out")
    rows = torch.linspace(0, len(photos) - 1, PROMPTS).long()
    classify = load_attributes(world.model("tiny-attributes"))
    asked = torch.from_numpy(photos.labels)[rows]
    figures = shares("photos", classify.predict(pixels(photos, rows)), asked, world)
    real = _bodies(pixels(photos, like_the_prompt(photos, world)), world)
    for name, sample in samplers(world).items():
        images = sample(captions(photos, rows, world), 0)
        figures |= shares(name, classify.predict(images), asked, world)
        figures |= spreads(name, _bodies(sample([one_prompt(world)] * SAMPLES, 1), world), real)
    return figures


def sampler(pipe: StableDiffusionXLPipeline, **settings: Any) -> Sample:
    """Draws with the pipeline, a batch after another; `settings` are those of its call."""

    def sample(prompts: list[str], seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for start in range(0, len(prompts), _BATCH):
            part = prompts[start : start + _BATCH]
            parts.append(pipe(part, generator=generator, output_type="pt", **settings).images)
        return torch.cat(parts) * 2 - 1

    return sample


def captions(photos: WorldPhotos, rows: Tensor, world: World) -> list[str]:
    """The captions, without the build, of the photos with these numbers (B,)."""
    return [world.sentence(labels) for labels in photos.labels[rows.numpy()].tolist()]


def one_prompt(world: World) -> str:
    """A prompt for whose samples only the body and the looks are left open."""
    said = _BODY_SHOWN[world.name] | _PLACE[world.name]
    return world.sentence([words.index(said[name]) if name in said else UNSAID for name, words in world.words.items()])


def like_the_prompt(photos: WorldPhotos, world: World) -> Tensor:
    """The numbers of the photos that show as much of a body as `one_prompt` asks for, in whatever place."""
    shown = torch.ones(len(photos), dtype=torch.bool)
    for name, word in _BODY_SHOWN[world.name].items():
        column = torch.from_numpy(photos.labels[:, world.attributes.index(name)])
        shown &= column == world.words[name].index(word)
    return shown.nonzero()[:, 0]


def shares(name: str, found: Tensor, asked: Tensor, world: World) -> dict[str, float]:
    """Of labels (N, attributes), in how many percent of the rows that say an attribute it was found as asked."""
    figures = {}
    right = []
    for column, (attribute, words) in enumerate(world.words.items()):
        said = torch.tensor([words[label] != "" for label in asked[:, column].tolist()])
        hits = (found[:, column] == asked[:, column])[said]
        figures[f"{name}: {attribute} as asked (%)"] = 100 * float(hits.float().mean())
        if attribute in ASKED[world.name]:
            right.append(hits)
    figures[f"{name}: {_ASKED[world.name]} as asked (%)"] = 100 * float(torch.cat(right).float().mean())
    return figures


def spreads(name: str, sampled: Bodies, real: Bodies) -> dict[str, float]:
    """Of each kind, the ratios of the standard deviations of its values."""
    figures = {}
    for kind, values in sampled.items():
        ratios = np.nanstd(values, axis=0) / np.nanstd(real[kind], axis=0)
        for which, ratio in (("median", np.nanmedian), ("least", np.nanmin), ("most", np.nanmax)):
            figures[f"{name}: spread of {kind} / that of real people, {which}"] = float(ratio(ratios))
    return figures


@torch.inference_mode()
def _bodies(images: Tensor, world: World) -> Bodies:
    """Of images (N, 3, H, W): proportions by the keypoints and, in three dimensions, what the shape judge reads."""
    found = {"proportions": proportions(load_keypoints(world.model("tiny-keypoints"))(images)).numpy()}
    if world.name == WORLD_3D.name:
        judge = load_shape_judge(world.model("tiny-shape"))
        found["shape"] = torch.cat([judge(part)[0] for part in images.split(_BATCH)]).numpy()
    return found

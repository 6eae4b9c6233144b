"""The base and its Lightning version: do samples show what prompts ask, and nothing that no prompt asked?"""

from collections.abc import Callable

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from bolid_train.data.proportions import proportions
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.embedded.attributes import load_attributes
from small_world.pipeline import load_small_lightning, load_small_sdxl
from small_world.pixels import pixels
from small_world.world.captions import ATTRIBUTES, WORDS
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT
from small_world.worlds import FLAT, World

PROMPTS = 200
ASKED = ("top", "bottom", "hair", "framing")
GUIDANCE, STEPS = 3.0, 25
SAME_PROMPT = "a full-body photo of a person, arms down, in a studio"
SAMPLES = 100
_BATCH = 50

Sample = Callable[[list[str], int], Tensor]
"""Prompts and a seed → images (B, 3, H, W) in -1..1."""


def samplers() -> dict[str, Sample]:
    """The base at 25 steps with guidance and Lightning at 4 without, by name."""
    return {
        "base": _sampler(load_small_sdxl(), {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE}),
        "lightning": _sampler(load_small_lightning(), {"num_inference_steps": 4, "guidance_scale": 0.0}),
    }


def check(world: World = FLAT) -> dict[str, float]:
    """Share of prompts of which a classifier finds each thing asked for, against the same on real photos; ratio of
    the spread of body proportions among samples of one prompt to that among real photos of that kind."""
    photos = draw_split(HELD_OUT)
    rows = torch.linspace(0, len(photos) - 1, PROMPTS).long()
    classify = load_attributes()
    asked = torch.from_numpy(photos.labels)[rows]
    figures = _shares("photos", classify.predict(pixels(photos, rows)), asked)
    real = _like_the_prompt(photos)
    for name, sample in samplers().items():
        images = sample([str(photos.caption(row)) for row in rows.tolist()], 0)
        figures |= _shares(name, classify.predict(images), asked)
        figures |= _spread(name, sample([SAME_PROMPT] * SAMPLES, 1), real)
    return figures


def _sampler(pipe: StableDiffusionXLPipeline, settings: dict[str, float]) -> Sample:
    def sample(prompts: list[str], seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for start in range(0, len(prompts), _BATCH):
            part = prompts[start : start + _BATCH]
            parts.append(pipe(part, generator=generator, output_type="pt", **settings).images)
        return torch.cat(parts) * 2 - 1

    return sample


def _shares(name: str, found: Tensor, asked: Tensor) -> dict[str, float]:
    figures = {}
    right = []
    for attribute in ATTRIBUTES:
        column = ATTRIBUTES.index(attribute)
        said = torch.tensor([WORDS[attribute][label] != "" for label in asked[:, column].tolist()])
        hits = (found[:, column] == asked[:, column])[said]
        figures[f"{name}: {attribute} as asked (%)"] = 100 * float(hits.float().mean())
        if attribute in ASKED:
            right.append(hits)
    figures[f"{name}: colours, hair and framing as asked (%)"] = 100 * float(torch.cat(right).float().mean())
    return figures


def _like_the_prompt(photos: Photos) -> Tensor:
    """Real photos with the framing and arms of `SAME_PROMPT`."""
    captions = [photos.caption(row) for row in range(len(photos))]
    rows = [
        row for row, caption in enumerate(captions) if caption.framing == "full-body" and caption.arms == "arms down"
    ]
    return pixels(photos, torch.tensor(rows))


def _spread(name: str, samples: Tensor, real: Tensor) -> dict[str, float]:
    """Ratio of standard deviations, for each proportion that is seen."""
    find = load_keypoints("tiny-keypoints")
    with torch.inference_mode():
        drawn, sampled = (proportions(find(images)).numpy() for images in (real, samples))
    ratios = np.nanstd(sampled, axis=0) / np.nanstd(drawn, axis=0)
    return {
        f"{name}: spread of proportions / that of real people, median": float(np.nanmedian(ratios)),
        f"{name}: spread of proportions / that of real people, least": float(np.nanmin(ratios)),
        f"{name}: spread of proportions / that of real people, most": float(np.nanmax(ratios)),
    }

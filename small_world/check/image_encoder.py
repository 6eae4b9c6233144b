"""What the image encoder that sees bodies tells of people never seen, beside what `clip-0` does."""

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPVisionModelWithProjection

from bolid_data import weights
from bolid_train.diffusion.base import CLIP_BODIES
from bolid_train.diffusion.clip import load_clip
from small_world.check.body import auc
from small_world.check.clip import probe
from small_world.pixels import pixels
from small_world.world.bodies import TRAITS
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT
from small_world.worlds import FLAT, World

_BATCH = 200


def check(world: World = FLAT) -> dict[str, float]:
    """R² of the body's traits read from its embeddings, how well these tell bodies apart, and their cosine to those of
    `clip-0`."""
    photos = draw_split(HELD_OUT)
    return figures(*embed(photos), photos)


@torch.inference_mode()
def embed(photos: Photos) -> tuple[Tensor, Tensor]:
    """What it and `clip-0` say of N photos: unit vectors (N, D)."""
    clip = load_clip("clip-0")
    encoder = CLIPVisionModelWithProjection.from_pretrained(weights.find(CLIP_BODIES).path, dtype=torch.float32)
    ours, theirs = [], []
    for start in range(0, len(photos), _BATCH):
        images = pixels(photos, torch.arange(start, min(start + _BATCH, len(photos))))
        ours.append(normalize(encoder(clip.pixel_values(images)).image_embeds))
        theirs.append(clip.embed_images(images))
    return torch.cat(ours), torch.cat(theirs)


def figures(embeds: Tensor, said: Tensor, photos: Photos) -> dict[str, float]:
    """Of unit vectors of photos (N, D), and those of `clip-0`."""
    people = torch.from_numpy(photos.people)
    explained = probe(embeds, torch.from_numpy(photos.traits).float(), people % 2)
    return {
        "R² of all traits": float(explained.mean()),
        **{f"R² of {trait}": value for trait, value in zip(TRAITS, explained.tolist(), strict=True)},
        "AUC, one photo against one": auc(embeds @ embeds.T, people),
        "AUC, the same by clip-0": auc(said @ said.T, people),
        "cosine to clip-0": float((embeds * said).sum(1).mean()),
    }

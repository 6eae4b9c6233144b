"""What the image encoder that sees bodies tells of people never seen, beside what `clip-0` does."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPVisionModelWithProjection

from bolid_data import weights
from bolid_train.diffusion.base import CLIP_BODIES
from bolid_train.diffusion.clip import Clip, load_clip
from small_world.check.body import auc
from small_world.check.clip import probe
from small_world.pixels import pixels
from small_world.worlds import FLAT, World, WorldPhotos

_BATCH = 200


def check(world: World = FLAT) -> dict[str, float]:
    """R² of bodies read from its embeddings, how well these tell bodies apart, and their cosine to those of the CLIP
    that it was trained from."""
    photos = world.draw("held_out")
    folder, clip = weights.find(world.model(CLIP_BODIES)).path, load_clip(world.model("clip-0"))
    return figures(*embed(photos, folder, clip), photos, world)


@torch.inference_mode()
def embed(photos: WorldPhotos, folder: Path, clip: Clip) -> tuple[Tensor, Tensor]:
    """What the encoder in `folder` and the CLIP that it was trained from say of N photos: unit vectors (N, D)."""
    encoder = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32)
    ours, theirs = [], []
    for start in range(0, len(photos), _BATCH):
        images = pixels(photos, torch.arange(start, min(start + _BATCH, len(photos))))
        ours.append(normalize(encoder(clip.pixel_values(images)).image_embeds))
        theirs.append(clip.embed_images(images))
    return torch.cat(ours), torch.cat(theirs)


def figures(embeds: Tensor, said: Tensor, photos: WorldPhotos, world: World = FLAT) -> dict[str, float]:
    """Of unit vectors of photos (N, D), and those of `clip-0`."""
    people = torch.from_numpy(photos.people)
    explained = probe(embeds, torch.from_numpy(world.bodies(photos)).float(), people % 2)
    return {
        "R² of all traits": float(explained.mean()),
        **{f"R² of {trait}": value for trait, value in zip(world.body, explained.tolist(), strict=True)},
        "AUC, one photo against one": auc(embeds @ embeds.T, people),
        "AUC, the same by clip-0": auc(said @ said.T, people),
        "cosine to clip-0": float((embeds * said).sum(1).mean()),
    }

"""The photos that a world's models are measured on: of people that none of them has seen."""

import torch
from torch import Tensor

from small_world.worlds import FLAT, World, WorldPhotos


def draw_unseen(world: World) -> dict[str, WorldPhotos]:
    """By name: the held-out photos, and those by the renderer that no model has seen."""
    second = "second style" if world.name == FLAT.name else "second renderer"
    return {"held-out": world.draw("held_out"), second: world.draw("second_renderer")}


def shows(world: World, photos: WorldPhotos, attribute: str, word: str) -> Tensor:
    """(N,): whether this is what the photo shows of the attribute."""
    return torch.from_numpy(photos.labels[:, world.attributes.index(attribute)] == world.words[attribute].index(word))

"""`python -m small_world.check.views [--photos FILE] [--write FILE]`: how much of a body the trainer can read from what
it really sees of V photos of a person: joints that a detector found, and embeddings of weighted photos (views).

It prints a table of R² on people that the readers have not seen. Readers do not know which photos are alike.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPVisionModelWithProjection

from bolid_data import weights
from bolid_train.data.weighting import visible
from bolid_train.diffusion.base import CLIP_BODIES
from bolid_train.diffusion.clip import load_clip
from bolid_train.diffusion.keypoints import KeypointDetector, load_keypoints
from small_world.body_shape import SHAPE, shape_of
from small_world.pixels import pixels
from small_world.training import corpus_file
from small_world.training.corpus_file import PackedPhotos
from small_world.training.image_encoder import VIEWS, as_views
from small_world.view_features import mirrored, of_joints
from small_world.view_reader import read, table
from small_world.worlds import WORLD_3D, World

COUNTS = (1, 2, 4, 8, 16)
_BATCH = 100

Embed = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) in -1..1 to vectors (B, D)."""


def check(photos: PackedPhotos, detector: KeypointDetector, encoders: Mapping[str, Embed]) -> list[str]:
    """The lines of the table, from photos of people of whom each has equally many, a power of two."""
    features = see(photos, detector, encoders)
    count = features["joints"].shape[2]
    features |= {
        f"joints and {name}": np.concatenate([features["joints"], features[name]], axis=3) for name in encoders
    }
    truth = shape_of(photos.measures[::count])
    counts = tuple(views for views in COUNTS if views <= count)
    return table({name: read(numbers, truth, counts) for name, numbers in features.items()}, truth, SHAPE)


@torch.inference_mode()
def see(
    photos: PackedPhotos, detector: KeypointDetector, encoders: Mapping[str, Embed]
) -> dict[str, NDArray[np.float32]]:
    """(people, 2, photos, numbers) of each photo and of its mirror image, by what they come from."""
    features: dict[str, list[NDArray[np.float32]]] = {"joints": [], **{name: [] for name in encoders}}
    for rows in torch.arange(len(photos)).split(_BATCH):
        images = pixels(photos, rows)
        joints = detector(images).numpy()
        both = [(images, joints), (images.flip(3), np.stack([mirrored(one, images.shape[3]) for one in joints]))]
        features["joints"].append(_pairs([of_joints(one) for one in some] for _, some in both))
        views = [weighted(some, torch.from_numpy(at)) for some, at in both]
        for name, embed in encoders.items():
            features[name].append(_pairs(embed(some).numpy() for some in views))
    people = len(np.unique(photos.people))
    # (photos, 2, numbers) to (people, 2, photos of each, numbers).
    return {
        name: np.concatenate(some).reshape(people, -1, 2, some[0].shape[2]).swapaxes(1, 2)
        for name, some in features.items()
    }


def _pairs(both: Iterable[Iterable[NDArray[np.float32]]]) -> NDArray[np.float32]:
    """(photos, 2, numbers) of what photos and then their mirror images tell."""
    return np.stack([np.stack(list(some)) for some in both], axis=1)


def weighted(images: Tensor, keypoints: Tensor) -> Tensor:
    """The images (B, 3, H, W) in -1..1, dimmed away from the keypoints (B, 17, 3), as views are. Where none is visible,
    as they are."""
    mask = visible(keypoints, images.shape[2], images.shape[3], VIEWS.min_keypoint_confidence)
    return as_views(images, keypoints[..., :2], mask, mask.any(1))


def load_encoders(world: World) -> dict[str, Embed]:
    """The world's CLIP and its image encoder that sees bodies, by name."""
    clip = load_clip(world.model("clip-0"))
    folder = weights.find(world.model(CLIP_BODIES)).path
    bodies = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32).eval()
    return {
        world.model("clip-0"): clip.embed_images,
        world.model(CLIP_BODIES): lambda images: normalize(bodies(clip.pixel_values(images)).image_embeds),
    }


def main() -> None:
    """Prints the table and, if asked to, writes it."""
    parser = argparse.ArgumentParser(prog="python -m small_world.check.views")
    parser.add_argument(
        "--photos", type=Path, metavar="FILE", help="of `corpus_file --split views`; else they are drawn"
    )
    parser.add_argument("--detector", default=WORLD_3D.model("tiny-keypoints"), help="of joints (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a Markdown file for the table")
    arguments = parser.parse_args()
    photos = corpus_file.read(arguments.photos) if arguments.photos else WORLD_3D.draw("views")
    lines = "\n".join(check(photos, load_keypoints(arguments.detector), load_encoders(WORLD_3D)))
    print(lines)
    if arguments.write:
        arguments.write.write_text(f"{lines}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

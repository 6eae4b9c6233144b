"""Trains an image encoder that sees bodies:

    python -m small_world.training.image_encoder --work FOLDER [--world 3d --clip FOLDER --out FOLDER]

A CLIP of millions of photos knows something of how people are built; the small world's, whose captions do not say it,
knows nothing. So that methods that look through CLIP are not compared with their eyes shut, this trains `clip-0`'s
image tower on: it goes on saying what `clip-0` says, is told where joints are (each patch, which lie in it and where;
what is pooled, all places), tells the body's measures, and bodies apart. Half of the photos it sees weighted by their
keypoints, as views are.
"""

import argparse
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, l1_loss, mse_loss, normalize
from transformers import CLIPVisionModelWithProjection

from bolid_data.manifest import Train
from bolid_data.weights import embedded_path, folder_sha256
from bolid_train.data.weighting import weight_views
from bolid_train.diffusion.base import CLIP_BODIES
from bolid_train.diffusion.clip import Clip, load_clip
from bolid_train.embedded.keypoints import KEYPOINTS
from small_world.clip import PATCHES, image_encoder_of
from small_world.pixels import pixels
from small_world.training.augmentation import move, recolour
from small_world.training.body import contrast, of_same_people
from small_world.training.clip import patch_of
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, WORLDS, World, WorldPhotos, add_options, choose

SCHEDULES = {
    FLAT.name: Schedule(steps=3000, learning_rate=1.5e-3, warmup=60, ema=0.99),
    WORLD_3D.name: Schedule(steps=3600, learning_rate=1.5e-3, warmup=60, ema=0.99, seed=62),
}
VIEWS = Train()
"""Says how views are weighted."""


class Learner(nn.Module):
    """The encoder, and heads that are thrown away after training."""

    def __init__(self, encoder: CLIPVisionModelWithProjection, body: int) -> None:
        """`body`: how many numbers describe a body."""
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.choose = nn.Linear(width, KEYPOINTS)
        self.refine = nn.Linear(width, 2 * KEYPOINTS)
        self.place = nn.Linear(width, 2 * KEYPOINTS)
        self.body = nn.Linear(width, body)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Of photos (B, 3, H, W), in float32: `embeds` (B, D); how likely each patch is to hold each joint, `chosen`
        (B, patches, 17), and where in it, `within` (B, patches, 17, 2), in patches; `places` (B, 17, 2), in sides of
        the photo; `body` (B, 8)."""
        with torch.autocast("cpu", torch.bfloat16):
            seen = self.encoder.vision_model(pixel_values)
            patches, pooled = seen.last_hidden_state[:, 1:], seen.pooler_output
            found = {
                "embeds": self.encoder.visual_projection(pooled),
                "chosen": self.choose(patches),
                "within": self.refine(patches).unflatten(2, (-1, 2)),
                "places": self.place(pooled).unflatten(1, (-1, 2)),
                "body": self.body(pooled),
            }
        return {name: value.float() for name, value in found.items()}


class Seeing:
    """The loss of a batch of several photos of each of several bodies."""

    def __init__(self, learner: Learner, clip: Clip, photos: WorldPhotos, world: World = FLAT) -> None:
        self.learner, self.clip, self.photos = learner, clip, photos
        self.side, self.offset = world.size.side, world.keypoint_offset
        self.bodies = torch.from_numpy(world.bodies(photos)).float()

    def __call__(self, generator: Generator) -> dict[str, Tensor]:
        rows = of_same_people(self.photos, generator)
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        images, keypoints = move(
            pixels(self.photos, rows), keypoints, generator, scale=0.1, shift=0.04, turn=0.05, offset=self.offset
        )
        images = recolour(images, generator, 0.1)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            said = self.clip.embed_images(images)
        found = self.learner(self.clip.pixel_values(_weighted(images, keypoints, generator)))
        people = torch.from_numpy(self.photos.people[rows.numpy()])
        return {
            "clip": 1 - cosine_similarity(found["embeds"], said).mean(),
            **self._joints(found, keypoints),
            "body": 3 * mse_loss(found["body"], self.bodies[rows]),
            "contrast": contrast(normalize(found["embeds"]), people),
        }

    def _joints(self, found: dict[str, Tensor], keypoints: Tensor) -> dict[str, Tensor]:
        """Of the joints that are visible."""
        seen = keypoints[..., 2] > 0
        places = keypoints[..., :2] / self.side
        number, within = patch_of(places), (places * PATCHES).frac()
        told = found["within"].gather(1, number[:, None, :, None].expand(-1, 1, -1, 2))[:, 0]
        return {
            "joints": 0.3 * cross_entropy(found["chosen"].transpose(1, 2)[seen], number[seen]),
            "within": l1_loss(told[seen], within[seen]),
            "places": 10 * l1_loss(found["places"][seen], places[seen]),
        }


def _weighted(images: Tensor, keypoints: Tensor, generator: Generator) -> Tensor:
    """Half of the images (B, 3, H, W), those with a visible joint, as views."""
    visible = keypoints[..., 2] > 0
    chosen = (torch.rand(len(images), generator=generator) < 0.5) & visible.any(1)
    return as_views(images, keypoints[..., :2], visible, chosen)


def as_views(images: Tensor, points: Tensor, visible: Tensor, chosen: Tensor) -> Tensor:
    """Images (B, 3, H, W) in -1..1, of which the chosen (bool (B,)) are weighted by their visible (bool (B, 17)) points
    (B, 17, 2), as views are by default."""
    views = weight_views(images[chosen] / 2 + 0.5, points[chosen], visible[chosen], VIEWS.sigma, VIEWS.alpha)
    return images.index_put((chosen.nonzero()[:, 0],), 2 * views - 1)


def train(
    clip: Clip, photos: WorldPhotos, work: Path, schedule: Schedule, world: World = FLAT
) -> CLIPVisionModelWithProjection:
    """The image tower of `clip` trained on `photos`; a run that was stopped goes on from what is in `work`."""
    torch.manual_seed(schedule.seed)
    encoder = image_encoder_of(clip).requires_grad_(True)
    encoder.set_attn_implementation("eager")  # on CPU the fused attention's backward pass is slow
    learner = Learner(encoder, len(world.body))
    trained = fit(learner, Seeing(learner, clip, photos, world), schedule, work)
    assert isinstance(trained, Learner)
    return trained.encoder


def save(encoder: CLIPVisionModelWithProjection, clip: Clip, folder: Path) -> None:
    """An ordinary transformers folder, in half precision, as an `image_encoder` may be; preprocessing as of `clip`."""
    encoder.half().save_pretrained(folder)
    clip.image_processor.save_pretrained(folder)


def main() -> None:
    """Trains it on the corpus and writes its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a run that was stopped goes on from what is in it")
    add_options(parser)
    parser.add_argument("--clip", type=Path, help="folder of the CLIP to start from (default: the committed clip-0)")
    parser.add_argument("--out", type=Path, help="the encoder's folder (default: that of the committed one)")
    arguments = parser.parse_args()
    model = WORLDS[arguments.world].model
    out = arguments.out or embedded_path(model(CLIP_BODIES))
    clip = load_clip(str(arguments.clip or embedded_path(model("clip-0"))))
    world, photos = choose(parser, arguments)
    trained = train(clip, photos, arguments.work, SCHEDULES[world.name], world)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    save(trained, clip, out)
    print(f"pin it in bolid_data/weights.py: sha256 {folder_sha256(out)}")


if __name__ == "__main__":
    main()

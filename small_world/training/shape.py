"""Trains a shape judge of the three-dimensional world: `python -m small_world.training.shape --work FOLDER`.

With `--renderer lines`, the judge of the second renderer's drawings, `tiny-shape-lines-3d`.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bolid_data.weights import embedded_path, file_sha256
from bolid_train.embedded.keypoints import KEYPOINTS
from bolid_train.embedded.shape import SIDE, SIZE, ShapeNetwork
from small_world.body_shape import shape_of, standardized
from small_world.pixels import pixels
from small_world.training import corpus_file
from small_world.training.augmentation import blur, move, noise, recolour, restyle
from small_world.training.command import write_weights
from small_world.training.corpus_file import PackedPhotos
from small_world.training.keypoints import keypoint_loss
from small_world.training.loop import Schedule, fit
from small_world.worlds import WORLD_3D

BATCH = 64
SCHEDULE = Schedule(steps=2800, learning_rate=2e-3, ema=0.995, weight_decay=0.05, seed=26)
_MODELS = {"photo": ("tiny-shape", "corpus"), "lines": ("tiny-shape-lines", "lines_corpus")}


class Learner(nn.Module):
    """The judge and a head that tells how much a body faces the camera, which is needed for training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ShapeNetwork()
        self.facing = nn.Linear(SIZE, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, 128, 128) to means and variances (B, SHAPE), the cosine of the yaw (B,), and what
        `ShapeNetwork.points` gives."""
        with torch.autocast("cpu", torch.bfloat16):  # not what follows: proportions are small differences
            features = self.network.features(images)
            heat, visible = self.network.points(features)
        description = self.network.describe_body(features, heat, visible)
        return *self.network.read(description), self.facing(description)[:, 0], heat, visible


class Judging:
    """The loss of a batch of photos."""

    def __init__(self, learner: Learner, photos: PackedPhotos) -> None:
        self.learner, self.photos = learner, photos
        self.shapes = torch.from_numpy(standardized(shape_of(photos.measures))).float()
        self.facing = torch.from_numpy(photos.yaws).deg2rad().cos().float()  # the same for a mirrored photo

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        images, keypoints = move(pixels(self.photos, rows), keypoints, generator, scale=0.15, shift=0.08, turn=0.08)
        images = restyle(recolour(images, generator, 0.6), generator)
        images = noise(blur(images, generator), generator, 0.08)
        images = images.contiguous(memory_format=torch.channels_last)
        mean, variance, facing, heat, visible = self.learner(images)
        return {
            "shape": likelihood(mean, variance, self.shapes[rows]),
            "facing": mse_loss(facing, self.facing[rows]),
            **keypoint_loss(heat[:, :KEYPOINTS], visible, keypoints, SIDE),
        }


def likelihood(mean: Tensor, variance: Tensor, truth: Tensor) -> Tensor:
    """Negative log-likelihood of normal distributions, weighted by their deviations so that what is hard to tell is
    learned too (β-NLL with β = 0.5, Seitzer et al. 2022)."""
    loss = (mean - truth).square() / variance + variance.log()
    return (variance.detach().sqrt() * loss).mean() / 2


def train(photos: PackedPhotos, work: Path, schedule: Schedule = SCHEDULE) -> ShapeNetwork:
    """A judge trained on `photos`; a run that was stopped goes on from what is in `work`."""
    torch.manual_seed(schedule.seed)
    learner = Learner().to(memory_format=torch.channels_last)
    trained = fit(learner, Judging(learner, photos), schedule, work)
    assert isinstance(trained, Learner)
    return trained.network


def main() -> None:
    """Trains on a corpus of one renderer and writes the embedded weights."""
    parser = argparse.ArgumentParser(prog="python -m small_world.training.shape")
    parser.add_argument("--work", type=Path, required=True, help="a run that was stopped goes on from what is in it")
    parser.add_argument("--world", choices=[WORLD_3D.name], default=WORLD_3D.name, help="the only one with such shapes")
    parser.add_argument("--renderer", choices=_MODELS, default="photo")
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="a corpus of `corpus_file`; else it is drawn")
    parser.add_argument("--out", type=Path, help="the file of weights (default: that of the committed judge)")
    arguments = parser.parse_args()
    model, corpus = _MODELS[arguments.renderer]
    out = arguments.out or embedded_path(WORLD_3D.model(model))
    photos = corpus_file.read(arguments.corpus) if arguments.corpus else WORLD_3D.draw(corpus)
    write_weights(train(photos, arguments.work), out)
    print(f"pin it in bolid_data/weights.py: sha256 {file_sha256(out)}")


if __name__ == "__main__":
    main()

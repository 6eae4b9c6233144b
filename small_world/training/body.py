"""Trains the body evaluator: `python -m small_world.training.body --work FOLDER [--world 3d]`.

The corpus shows each body in other looks on every photo, so only the body is left to tell people apart by.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bolid_train.embedded.body import SIZE, BodyEvaluator
from small_world.pixels import pixels
from small_world.training.augmentation import blur, move, noise, recolour, restyle
from small_world.training.command import main
from small_world.training.keypoints import keypoint_loss
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos

PEOPLE, PHOTOS = 16, 4
"""Of a batch: bodies, and photos of each."""

SCHEDULES = {
    FLAT.name: Schedule(steps=1700, learning_rate=2e-3, ema=0.99),
    WORLD_3D.name: Schedule(steps=6000, learning_rate=2e-3, ema=0.995, seed=1),
}
_TEMPERATURE = 0.1


class Learner(nn.Module):
    """The evaluator and a head that tells a body's traits, which is needed for training alone."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.evaluator = BodyEvaluator(world.size.side)
        self.traits = nn.Linear(SIZE, len(world.body))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, side, side) to embeddings (B, 128) of length one, traits (B, 8), and where joints are and
        whether they are visible (B, 17, 32, 32), as `KeypointNetwork.maps`."""
        with torch.autocast("cpu", torch.bfloat16):  # not what follows: proportions are small differences
            features = self.evaluator.pose.features(images)
            heat, visible = self.evaluator.pose.read(features)
        description = self.evaluator.describe_body(features, heat, visible)
        return self.evaluator.project_body(description), self.traits(description), heat, visible


class Recognising:
    """The loss of a batch of several photos of each of several bodies."""

    def __init__(self, learner: Learner, world: World, photos: WorldPhotos) -> None:
        self.learner, self.world, self.photos = learner, world, photos
        self.bodies = torch.from_numpy(world.bodies(photos)).float()

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = of_same_people(self.photos, generator)
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        images, keypoints = move(
            pixels(self.photos, rows), keypoints, generator, scale=0.15, shift=0.08, turn=0.08,
            offset=self.world.keypoint_offset,
        )  # fmt: skip
        images = restyle(recolour(images, generator, 0.6), generator)
        images = noise(blur(images, generator), generator, 0.08)
        images = images.contiguous(memory_format=torch.channels_last)
        embeddings, traits, heat, visible = self.learner(images)
        people = torch.from_numpy(self.photos.people[rows.numpy()])
        return {
            "contrast": contrast(embeddings, people),
            "traits": 3 * mse_loss(traits, self.bodies[rows]),
            **keypoint_loss(heat, visible, keypoints, self.world.size.side),
        }


def of_same_people(photos: WorldPhotos, generator: torch.Generator) -> Tensor:
    """The numbers of a batch's photos: `PHOTOS` of each of `PEOPLE`."""
    ends = torch.from_numpy(photos.people).unique(return_counts=True)[1].cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    people = torch.randperm(len(ends), generator=generator)[:PEOPLE].tolist()
    chosen = [
        starts[person] + torch.randperm(int(ends[person] - starts[person]), generator=generator)[:PHOTOS]
        for person in people
    ]
    return torch.cat(chosen)


def contrast(embeddings: Tensor, people: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020) of embeddings (B, D) of length one and their people (B,)."""
    itself = torch.eye(len(people), dtype=torch.bool)
    likeness = (embeddings @ embeddings.T / _TEMPERATURE).masked_fill(itself, -torch.inf)
    same = (people[:, None] == people) & ~itself
    share = likeness.log_softmax(1)
    return -(share.masked_fill(~same, 0).sum(1) / same.sum(1)).mean()


def train(world: World, photos: WorldPhotos, work: Path, schedule: Schedule | None = None) -> BodyEvaluator:
    """An evaluator trained on `photos`, by the world's own schedule unless one is given; a run that was stopped goes on
    from what is in `work`."""
    schedule = schedule or SCHEDULES[world.name]
    torch.manual_seed(schedule.seed)
    learner = Learner(world).to(memory_format=torch.channels_last)
    trained = fit(learner, Recognising(learner, world, photos), schedule, work)
    assert isinstance(trained, Learner)
    return trained.evaluator


if __name__ == "__main__":
    main("body", train)

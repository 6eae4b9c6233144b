"""Trains the attribute classifier: `python -m small_world.training.attributes --work FOLDER [--world 3d]`."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bolid_train.embedded.attributes import AttributeClassifier
from small_world.pixels import pixels
from small_world.training.augmentation import blur, move, noise, recolour
from small_world.training.command import main
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos

BATCH = 64
SCHEDULES = {
    FLAT.name: Schedule(steps=1000, learning_rate=2e-3, ema=0.99),
    WORLD_3D.name: Schedule(steps=4000, learning_rate=2e-3, ema=0.995, seed=2),
}


class Classifying:
    """The loss of every attribute, on photos changed so little that their captions stay true."""

    def __init__(self, network: AttributeClassifier, photos: WorldPhotos) -> None:
        self.network, self.photos = network, photos

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        labels = torch.from_numpy(self.photos.labels[rows.numpy()])
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        images, _ = move(pixels(self.photos, rows), keypoints, generator, scale=0.03, shift=0.04, turn=0.03)
        images = noise(blur(recolour(images, generator, 0.12), generator), generator, 0.08)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
        return {
            name: cross_entropy(values.float(), labels[:, index]) / len(logits)
            for index, (name, values) in enumerate(zip(self.network.classes, logits, strict=True))
        }


def train(world: World, photos: WorldPhotos, work: Path, schedule: Schedule | None = None) -> AttributeClassifier:
    """A classifier trained on `photos`, by the world's own schedule unless one is given; a run that was stopped goes on
    from what is in `work`."""
    schedule = schedule or SCHEDULES[world.name]
    torch.manual_seed(schedule.seed)
    network = AttributeClassifier(world.words, world.size.side).to(memory_format=torch.channels_last)
    trained = fit(network, Classifying(network, photos), schedule, work)
    assert isinstance(trained, AttributeClassifier)
    return trained


if __name__ == "__main__":
    main("attributes", train)

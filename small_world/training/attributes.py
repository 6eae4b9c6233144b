"""Trains the attribute classifier: `python -m small_world.training.attributes --work FOLDER [--world 3d]`."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bolid_train.embedded.attributes import AttributeClassifier
from bolid_train.embedded.joint_encoder import JointEncoder
from small_world.pixels import pixels
from small_world.training.augmentation import blur, move, noise, recolour
from small_world.training.command import main
from small_world.training.keypoints import keypoint_loss
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos

BATCH = 64
SCHEDULES = {
    FLAT.name: Schedule(steps=1000, learning_rate=2e-3, ema=0.99),
    WORLD_3D.name: Schedule(steps=4000, learning_rate=2e-3, ema=0.995, seed=2),
}
_MOVES = {
    FLAT.name: {"scale": 0.03, "shift": 0.04, "turn": 0.03},
    WORLD_3D.name: {"scale": 0.08, "shift": 0.05, "turn": 0.08},
}
"""Of photos: so little that framing and pose stay what they are."""


class Classifying:
    """The loss of every attribute, on photos changed so little that their captions stay true; and of the joints, where
    the network finds them."""

    def __init__(self, network: AttributeClassifier, world: World, photos: WorldPhotos) -> None:
        self.network, self.world, self.photos = network, world, photos

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        labels = torch.from_numpy(self.photos.labels[rows.numpy()])
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        moves, offset = _MOVES[self.world.name], self.world.keypoint_offset
        images, keypoints = move(pixels(self.photos, rows), keypoints, generator, **moves, offset=offset)
        images = noise(blur(recolour(images, generator, 0.12), generator), generator, 0.08)
        images = images.contiguous(memory_format=torch.channels_last)
        encoder = self.network.encoder
        maps: tuple[Tensor, Tensor] | None = None
        with torch.autocast("cpu", torch.bfloat16):
            if isinstance(encoder, JointEncoder):
                vectors, heat, visible = encoder.encode(images)
                maps = heat, visible
            else:
                vectors = encoder(images)
            logits = self.network.classify(vectors)
        losses = {
            name: cross_entropy(values.float(), labels[:, index]) / len(logits)
            for index, (name, values) in enumerate(zip(self.network.classes, logits, strict=True))
        }
        return losses | keypoint_loss(*maps, keypoints, self.world.size.side) if maps else losses


def train(world: World, photos: WorldPhotos, work: Path, schedule: Schedule | None = None) -> AttributeClassifier:
    """A classifier trained on `photos`, by the world's own schedule unless one is given; a run that was stopped goes on
    from what is in `work`."""
    schedule = schedule or SCHEDULES[world.name]
    torch.manual_seed(schedule.seed)
    network = AttributeClassifier(world.words, world.size.side).to(memory_format=torch.channels_last)
    trained = fit(network, Classifying(network, world, photos), schedule, work)
    assert isinstance(trained, AttributeClassifier)
    return trained


if __name__ == "__main__":
    main("attributes", train)

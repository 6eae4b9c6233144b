"""Trains the small world's keypoint network: `python -m small_world.training.keypoints --work FOLDER [--world 3d]`."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bolid_train.embedded.keypoints import KeypointNetwork, confidence, expected_positions
from small_world.pixels import pixels
from small_world.training.augmentation import blur, move, noise, recolour
from small_world.training.command import main
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos

BATCH = 64
SCHEDULES = {
    FLAT.name: Schedule(steps=1500, learning_rate=2e-3, ema=0.99),
    WORLD_3D.name: Schedule(steps=4000, learning_rate=2e-3, ema=0.995),
}
_SPREAD = 1.0
"""Deviation of the heatmaps' target, in their cells of 1/32 of the side."""


class Detecting:
    """The loss of keypoints on changed photos: distance, likelihood of the heatmap, and visibility."""

    def __init__(self, network: KeypointNetwork, world: World, photos: WorldPhotos) -> None:
        self.network, self.world, self.photos = network, world, photos

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        truth = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        images, truth = move(
            pixels(self.photos, rows), truth, generator, scale=0.2, shift=0.1, turn=0.15,
            offset=self.world.keypoint_offset,
        )  # fmt: skip
        images = noise(blur(recolour(images, generator, 0.5), generator), generator, 0.1)
        with torch.autocast("cpu", torch.bfloat16):
            heat, visible = self.network.maps(images.contiguous(memory_format=torch.channels_last))
        return keypoint_loss(heat, visible, truth, self.world.size.side)


def keypoint_loss(heat: Tensor, visible: Tensor, truth: Tensor, side: int) -> dict[str, Tensor]:
    """What `KeypointNetwork.maps` gives (B, 17, h, w) against the true keypoints (B, 17, 3) of photos of that side.
    Where joints are is asked only of those that the photo shows."""
    places, seen = truth[..., :2] / side, truth[..., 2]
    distance = (expected_positions(heat) - places).abs().sum(2)
    likelihood = -(target(places, heat.shape[-1]) * heat).sum((2, 3))
    return {
        "distance": 10 * (distance * seen).sum() / seen.sum(),
        "likelihood": 0.1 * (likelihood * seen).sum() / seen.sum(),
        "visible": 0.3 * binary_cross_entropy_with_logits(confidence(heat, visible), seen),
    }


def target(places: Tensor, cells: int) -> Tensor:
    """Places (B, 17, 2) as shares of the sides, to a Gaussian around each (B, 17, cells, cells) that sums to one."""
    centres = torch.arange(cells) + 0.5
    x, y = ((-((centres - place * cells) ** 2) / (2 * _SPREAD**2)).softmax(2) for place in places.split(1, dim=2))
    return y[..., :, None] * x[..., None, :]


def train(world: World, photos: WorldPhotos, work: Path, schedule: Schedule | None = None) -> KeypointNetwork:
    """A network trained on `photos`, by the world's own schedule unless one is given; a run that was stopped goes on
    from what is in `work`."""
    schedule = schedule or SCHEDULES[world.name]
    torch.manual_seed(schedule.seed)
    network = KeypointNetwork(world.size.side).to(memory_format=torch.channels_last)
    trained = fit(network, Detecting(network, world, photos), schedule, work)
    assert isinstance(trained, KeypointNetwork)
    return trained


if __name__ == "__main__":
    main("keypoints", train)

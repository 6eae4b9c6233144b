"""Trains the small world's keypoint network: `python -m small_world.training.keypoints --work FOLDER`."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bolid_train.embedded.backbone import SIDE
from bolid_train.embedded.keypoints import KeypointNetwork, confidence, expected_positions
from small_world.pixels import pixels
from small_world.training.augmentation import blur, move, noise, recolour
from small_world.training.command import main
from small_world.training.loop import Schedule, fit
from small_world.world.photos import Photos

BATCH = 64
SCHEDULE = Schedule(steps=1500, learning_rate=2e-3, ema=0.99)
_SPREAD = 1.0
"""Deviation of the heatmaps' target, in their cells of two pixels."""


class Detecting:
    """The loss of keypoints on changed photos: distance, likelihood of the heatmap, and visibility."""

    def __init__(self, network: KeypointNetwork, photos: Photos) -> None:
        self.network, self.photos = network, photos

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        truth = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        images, truth = move(pixels(self.photos, rows), truth, generator, scale=0.2, shift=0.1, turn=0.15)
        images = noise(blur(recolour(images, generator, 0.5), generator), generator, 0.1)
        with torch.autocast("cpu", torch.bfloat16):
            heat, visible = self.network.maps(images.contiguous(memory_format=torch.channels_last))
        return keypoint_loss(heat, visible, truth)


def keypoint_loss(heat: Tensor, visible: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """What `KeypointNetwork.maps` gives (B, 17, h, w) against the true keypoints (B, 17, 3). Where joints are is asked
    only of those that the photo shows."""
    places, seen = truth[..., :2] / SIDE, truth[..., 2]
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


def train(photos: Photos, work: Path, schedule: Schedule = SCHEDULE) -> KeypointNetwork:
    """A network trained on `photos`; a run that was stopped goes on from what is in `work`."""
    torch.manual_seed(schedule.seed)
    network = KeypointNetwork().to(memory_format=torch.channels_last)
    trained = fit(network, Detecting(network, photos), schedule, work)
    assert isinstance(trained, KeypointNetwork)
    return trained


if __name__ == "__main__":
    main("keypoints", train)

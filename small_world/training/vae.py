"""Trains the small SDXL's VAE: `python -m small_world.training.vae --work FOLDER`."""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bolid_train.data.weighting import gaussian_weights
from small_world.pixels import pixels
from small_world.sdxl import build_vae
from small_world.training.loop import Schedule, fit
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import CORPUS

BATCH = 16
SCHEDULE = Schedule(steps=2200, learning_rate=1.2e-3, ema=0.99)
_KL = 1e-6
_BACKGROUND, _REACH = 0.4, 0.09  # importance of what is far from all joints; how near counts, of the side


class Autoencoding:
    """The loss of a round trip; photos are mirrored at random."""

    def __init__(self, vae: AutoencoderKL, photos: Photos) -> None:
        self.vae, self.photos = vae, photos

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        images = pixels(self.photos, rows)
        mirrored = torch.rand(BATCH, generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = self.vae.encode(images).latent_dist
            decoded = self.vae.decode(posterior.sample()).sample.float()
        error = (decoded - images) * self._importance(rows, mirrored)
        return {
            "pixels": error.abs().mean() + error.square().mean(),
            # Edges: what people are told apart by is thin.
            "edges": error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean(),
            "kl": _KL * posterior.kl().mean(),
        }

    def _importance(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """(B, 1, H, W): high where the person is, lower in the background."""
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        side = self.photos.images.shape[1]
        weights = gaussian_weights(keypoints[..., :2], keypoints[..., 2] > 0, side, side, _REACH)
        weights = torch.where(mirrored[:, None, None], weights.flip(2), weights)
        return (_BACKGROUND + (1 - _BACKGROUND) * weights)[:, None] / 0.6


def train(photos: Photos, work: Path) -> AutoencoderKL:
    """Trained on `photos`; its `scaling_factor` makes latents of unit deviation."""
    torch.manual_seed(0)
    vae: AutoencoderKL = build_vae().to(memory_format=torch.channels_last)
    trained = fit(vae, Autoencoding(vae, photos), SCHEDULE, work)
    assert isinstance(trained, AutoencoderKL)
    with torch.no_grad():
        latents = trained.encode(pixels(photos, torch.arange(0, len(photos), len(photos) // 256))).latent_dist.mean
    trained.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))
    return trained


def main() -> None:
    """Trains on the corpus and writes the VAE to `vae/` in the work folder, for the base to be trained with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    train(draw_split(CORPUS), arguments.work).save_pretrained(arguments.work / "vae")


if __name__ == "__main__":
    main()

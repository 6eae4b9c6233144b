"""Trains a small SDXL's VAE: `python -m small_world.training.vae --work FOLDER [--world 3d]`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import MethodType

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.functional import group_norm

from bolid_train.data.weighting import gaussian_weights
from small_world.pixels import pixels, scaled
from small_world.sdxl import build_vae
from small_world.training.loop import Report, Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos, add_options, choose

BATCH = 16
SCHEDULES = {
    FLAT.name: Schedule(steps=2200, learning_rate=1.2e-3, ema=0.99),
    WORLD_3D.name: Schedule(steps=4200, learning_rate=1.2e-3, ema=0.99),
}
_KL = 1e-6
_BACKGROUND, _REACH = 0.4, 0.09  # importance of what is far from all joints; how near counts, of the side


class Autoencoding:
    """The loss of a round trip; photos are mirrored at random."""

    def __init__(self, vae: AutoencoderKL, photos: WorldPhotos, batch: int = BATCH) -> None:
        self.vae, self.batch, self.device = vae, batch, vae.device
        self.images = torch.from_numpy(photos.images).to(self.device)
        self.keypoints = torch.from_numpy(photos.keypoints).to(self.device)

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.images), (self.batch,), generator=generator).to(self.device)
        images = scaled(self.images[rows])
        mirrored = (torch.rand(self.batch, generator=generator) < 0.5).to(self.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
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
        keypoints, side = self.keypoints[rows], self.images.shape[1]
        visible = keypoints[..., 2] > 0
        visible |= ~visible.any(1, keepdim=True)  # from behind, a head and shoulders may show none: all then count
        weights = gaussian_weights(keypoints[..., :2], visible, side, side, _REACH)
        weights = torch.where(mirrored[:, None, None], weights.flip(2), weights)
        return (_BACKGROUND + (1 - _BACKGROUND) * weights)[:, None] / 0.6


def train(
    photos: WorldPhotos,
    work: Path,
    world: World = FLAT,
    schedule: Schedule | None = None,
    batch: int = BATCH,
    device: str = "cpu",
    report: Callable[[Report], None] | None = None,
) -> AutoencoderKL:
    """Trained on `photos`, by the world's own schedule unless one is given; its `scaling_factor` makes latents of unit
    deviation. `report`: as in `fit`."""
    torch.manual_seed(0)
    vae: AutoencoderKL = build_vae(world.size).to(device, memory_format=torch.channels_last)
    _normalize_in_float32(vae)
    trained = fit(vae, Autoencoding(vae, photos, batch), schedule or SCHEDULES[world.name], work, report)
    assert isinstance(trained, AutoencoderKL)
    some = torch.arange(0, len(photos), max(1, len(photos) // 256))
    with torch.no_grad():
        latents = trained.encode(pixels(photos, some).to(trained.device)).latent_dist.mean
    trained.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))
    return trained


def _normalize_in_float32(vae: AutoencoderKL) -> None:
    """On a CPU, the backward pass of group norms in bfloat16 takes four times as long as in float32, channels last."""
    for module in vae.modules():
        if isinstance(module, nn.GroupNorm):
            module.__dict__["forward"] = MethodType(_norm, module)


def _norm(norm: nn.GroupNorm, features: Tensor) -> Tensor:
    return group_norm(features.float(), norm.num_groups, norm.weight, norm.bias, norm.eps).to(features.dtype)


def main() -> None:
    """Trains on the corpus and writes the VAE to `vae/` in the work folder, for the base to be trained with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    add_options(parser)
    arguments = parser.parse_args()
    world, photos = choose(parser, arguments)
    train(photos, arguments.work, world).save_pretrained(arguments.work / "vae")


if __name__ == "__main__":
    main()

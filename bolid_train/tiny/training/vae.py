"""Trains the small SDXL's VAE: `python -m bolid_train.tiny.training.vae --work FOLDER`.

First encoder and decoder together; then the encoder is frozen and the decoder goes on alone, as Stability AI did with
`sd-vae-ft-mse`: latents stay what they are, so the UNet can be trained on them meanwhile.
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from bolid_train.body.weighting import gaussian_weights
from bolid_train.tiny.sdxl import build_vae
from bolid_train.tiny.training.loop import Schedule, fit
from bolid_train.tiny.world.photos import Photos, draw_split
from bolid_train.tiny.world.splits import CORPUS

BATCH = 16
JOINT = Schedule(steps=1200, learning_rate=1.2e-3, ema=0.99)
DECODER = Schedule(steps=2000, learning_rate=6e-4, seed=1)
_KL = 1e-6
_BACKGROUND, _REACH = 0.4, 0.09  # importance of what is far from all joints; how near counts, of the side


def pixels(photos: Photos, rows: Tensor) -> Tensor:
    """Photos (B, 3, H, W) in -1..1."""
    images = torch.from_numpy(photos.images[rows.numpy()])
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


class Autoencoding:
    """The loss of a round trip; photos are mirrored at random."""

    def __init__(self, vae: AutoencoderKL, photos: Photos, only_decoder: bool) -> None:
        self.vae, self.photos, self.only_decoder = vae, photos, only_decoder

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.photos), (BATCH,), generator=generator)
        images = pixels(self.photos, rows)
        mirrored = torch.rand(BATCH, generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.set_grad_enabled(not self.only_decoder):
                posterior = self.vae.encode(images).latent_dist
            decoded = self.vae.decode(posterior.sample()).sample.float()
        error = (decoded - images) * self._importance(rows, mirrored)
        terms = {
            "pixels": error.abs().mean() + error.square().mean(),
            # Edges: what people are told apart by is thin.
            "edges": error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean(),
        }
        if not self.only_decoder:
            terms["kl"] = _KL * posterior.kl().mean()
        return terms

    def _importance(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """(B, 1, H, W): high where the person is, lower in the background."""
        keypoints = torch.from_numpy(self.photos.keypoints[rows.numpy()])
        side = self.photos.images.shape[1]
        weights = gaussian_weights(keypoints[..., :2], keypoints[..., 2] > 0, side, side, _REACH)
        weights = torch.where(mirrored[:, None, None], weights.flip(2), weights)
        return (_BACKGROUND + (1 - _BACKGROUND) * weights)[:, None] / 0.6


def train_encoder(photos: Photos, work: Path) -> AutoencoderKL:
    """Both halves; the result's encoder is final, its `scaling_factor` makes latents of unit deviation."""
    torch.manual_seed(0)
    vae: AutoencoderKL = build_vae().to(memory_format=torch.channels_last)
    vae = fit(vae, Autoencoding(vae, photos, only_decoder=False), JOINT, work / "joint")
    with torch.no_grad():
        latents = vae.encode(pixels(photos, torch.arange(0, len(photos), len(photos) // 256))).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))
    return vae


def train_decoder(vae: AutoencoderKL, photos: Photos, work: Path) -> AutoencoderKL:
    """The decoder alone, on from where it is."""
    frozen: list[nn.Module] = [vae.encoder, vae.quant_conv]
    for module in frozen:
        module.requires_grad_(False)
    config = vae.config
    vae = fit(vae, Autoencoding(vae, photos, only_decoder=True), DECODER, work / "decoder")
    vae.register_to_config(scaling_factor=config.scaling_factor)
    return vae.requires_grad_(True)


def main() -> None:
    """Trains both stages; the work folder holds `encoder/` after the first and `vae/` after the second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", choices=("encoder", "decoder"), required=True)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photos = draw_split(CORPUS)
    if arguments.stage == "encoder":
        train_encoder(photos, arguments.work).save_pretrained(arguments.work / "encoder")
    else:
        vae = AutoencoderKL.from_pretrained(arguments.work / "encoder")
        train_decoder(vae, photos, arguments.work).save_pretrained(arguments.work / "vae")


if __name__ == "__main__":
    main()

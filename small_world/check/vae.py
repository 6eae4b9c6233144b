"""The VAE: what a round trip loses, in pixels and in joints."""

import torch

from bolid_train.diffusion.keypoints import load_keypoints
from small_world.check.keypoints import distances
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.worlds import FLAT, World

_BATCH = 64


def check(world: World = FLAT) -> dict[str, float]:
    """PSNR in dB and mean absolute error (0..255) of decoded photos; median distance of found from drawn joints, in
    percent of the photo's side, on the photos themselves and on the decoded ones."""
    photos = world.draw("held_out")
    vae, find = load_small_sdxl(world).vae, load_keypoints(world.model("tiny-keypoints"))
    squared, absolute, before, after = [], [], [], []
    for start in range(0, len(photos), _BATCH):
        rows = torch.arange(start, min(start + _BATCH, len(photos)))
        images, true = pixels(photos, rows), torch.from_numpy(photos.keypoints[rows.numpy()])
        with torch.inference_mode():
            decoded = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
            error = (decoded - images) * 127.5
            squared.append(error.square().mean(dim=(1, 2, 3)))
            absolute.append(error.abs().mean(dim=(1, 2, 3)))
            before.append(distances(find(images), true))
            after.append(distances(find(decoded), true))
    side = world.size.side
    return {
        "PSNR of decoded photos (dB)": float((10 * torch.log10(255**2 / torch.cat(squared))).mean()),
        "mean absolute error of decoded photos (of 255)": float(torch.cat(absolute).mean()),
        "median joint error on photos (% of the side)": 100 * float(torch.cat(before).nanmedian()) / side,
        "median joint error on decoded photos (% of the side)": 100 * float(torch.cat(after).nanmedian()) / side,
    }

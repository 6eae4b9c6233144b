"""What can be seen on one-step estimates from each timestep: where L_id can be computed on them, and where it teaches
something. Before an estimate is blurred beyond recognition, its keypoints are those of the photo behind the noise,
whatever the adapter adds; they are the adapter's doing only where the noise hides the photo's."""

import torch

from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from small_world.check.base import captions
from small_world.check.keypoints import distances
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.worlds import FLAT, World

_PHOTOS = 200
_BATCH = 50
_TIMESTEPS = (1, 22, 100, 200, 400, 600, 700, 850, 950)


@torch.inference_mode()
def check(world: World = FLAT) -> dict[str, float]:
    """The error of keypoints on estimates, in percent, and the share of visible joints of which the detector is sure,
    with the base alone and the photos' own captions."""
    pipe, detector = load_small_sdxl(world), load_keypoints(world.model("tiny-keypoints"))
    photos, side = world.draw("held_out"), float(world.size.side)
    rows = torch.arange(_PHOTOS)
    denoiser = Denoiser(pipe.unet, pipe.scheduler)
    means = [pipe.vae.encode(pixels(photos, part)).latent_dist.mean for part in rows.split(_BATCH)]
    latents = torch.cat(means) * pipe.vae.config.scaling_factor
    embeds, _, pooled, _ = pipe.encode_prompt(captions(photos, rows, world), do_classifier_free_guidance=False)
    size = torch.tensor([[side, side, 0.0, 0.0, side, side]]).expand(_PHOTOS, -1)
    inputs = UNetInputs(embeds, {"text_embeds": pooled, "time_ids": size})
    noise = RowRandom(range(_PHOTOS)).normal("estimates", *latents.shape[1:])
    truth = torch.from_numpy(photos.keypoints)[rows]
    figures: dict[str, float] = {}
    for timestep in _TIMESTEPS:
        estimates = denoiser.estimate(latents, noise, torch.full((_PHOTOS,), timestep), inputs)
        parts = (estimates / pipe.vae.config.scaling_factor).split(_BATCH)
        found = torch.cat([detector(pipe.vae.decode(part).sample) for part in parts])
        visible = truth[..., 2] > 0.5
        error = 100 * distances(found, truth) / side
        figures[f"t = {timestep}: median error, % of the image's side"] = float(error.nanmedian())
        figures[f"t = {timestep}: visible joints found"] = float((found[..., 2] > 0.5)[visible].float().mean())
    return figures

"""What can be seen on one-step estimates from each timestep: where L_id can be computed on them, and where it teaches
something. Before an estimate is blurred beyond recognition, its keypoints are those of the photo behind the noise,
whatever the adapter adds; they are the adapter's doing only where the noise hides the photo's."""

import torch

from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from small_world.check.keypoints import distances
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.world.photos import SIDE, draw_split
from small_world.world.splits import HELD_OUT
from small_world.worlds import FLAT, World

_PHOTOS = 200
_TIMESTEPS = (1, 22, 100, 200, 400, 600, 700, 850, 950)


@torch.inference_mode()
def check(world: World = FLAT) -> dict[str, float]:
    """The error of keypoints on estimates, in percent, and the share of visible joints of which the detector is sure,
    with the base alone and the photos' own captions."""
    pipe, detector, photos = load_small_sdxl(), load_keypoints("tiny-keypoints"), draw_split(HELD_OUT)
    rows = torch.arange(_PHOTOS)
    denoiser = Denoiser(pipe.unet, pipe.scheduler)
    latents = pipe.vae.encode(pixels(photos, rows)).latent_dist.mean * pipe.vae.config.scaling_factor
    captions = [str(photos.caption(int(row))) for row in rows]
    embeds, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
    size = torch.tensor([[float(SIDE), SIDE, 0, 0, SIDE, SIDE]]).expand(_PHOTOS, -1)
    inputs = UNetInputs(embeds, {"text_embeds": pooled, "time_ids": size})
    noise = RowRandom(range(_PHOTOS)).normal("estimates", *latents.shape[1:])
    truth = torch.from_numpy(photos.keypoints)[rows]
    figures: dict[str, float] = {}
    for timestep in _TIMESTEPS:
        estimates = denoiser.estimate(latents, noise, torch.full((_PHOTOS,), timestep), inputs)
        found = detector(pipe.vae.decode(estimates / pipe.vae.config.scaling_factor).sample)
        visible = truth[..., 2] > 0.5
        error = 100 * distances(found, truth) / SIDE
        figures[f"t = {timestep}: median error, % of the image's side"] = float(error.nanmedian())
        figures[f"t = {timestep}: visible joints found"] = float((found[..., 2] > 0.5)[visible].float().mean())
    return figures

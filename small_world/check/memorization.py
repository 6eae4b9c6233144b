"""Whether the base generates people, or recites the photos that it was trained on: its loss on photos that it never
saw, and how near its samples come to those of the corpus."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from small_world.check.base import GUIDANCE, STEPS, captions, sampler
from small_world.pipeline import load_small_sdxl
from small_world.pixels import pixels
from small_world.worlds import FLAT, World, WorldPhotos

SAMPLES = 100
_PHOTOS = 256
_BANDS = 4
_TIMESTEPS = 1000
_THUMBNAIL = 32  # pixels of the sides
_MEMORIZED = 1 / 3  # of the distance to the second-nearest photo (Yoon et al. 2023)
_BATCH = 64
_CHUNK = 500  # photos of the corpus


@dataclass(frozen=True)
class Nearest:
    """The photos of a corpus that are nearest to N images, by the root mean square difference of thumbnails."""

    distances: Tensor  # (N, 2), to the nearest and to the second-nearest photo; pixels from 0 to 255
    rows: Tensor  # (N,), the nearest photo
    mirrored: Tensor  # bool (N,), whether it is nearest if it is mirrored


def check(world: World = FLAT) -> dict[str, float]:
    """The mean squared error of ε on held-out photos and on as many of the corpus, by timesteps; distances to the
    nearest photo of the corpus from samples, and from held-out photos with the same captions."""
    pipe, corpus, held_out = load_small_sdxl(world), world.draw("corpus"), world.draw("held_out")
    seen, unseen = (losses(pipe, photos, world) for photos in (corpus, held_out))
    figures: dict[str, float] = {}
    for band, (before, after) in enumerate(zip(seen.tolist(), unseen.tolist(), strict=True)):
        name = f"loss, t = {band * _TIMESTEPS // _BANDS} to {(band + 1) * _TIMESTEPS // _BANDS - 1}"
        figures |= {f"{name}: corpus": before, f"{name}: held-out": after, f"{name}: ratio": after / before}
    rows = torch.linspace(0, len(held_out) - 1, SAMPLES).long()
    samples = draw(pipe, captions(held_out, rows, world))
    return figures | nearness(samples, decoded(pipe.vae, pixels(held_out, rows)), corpus, world)


def draw(pipe: StableDiffusionXLPipeline, prompts: list[str]) -> Tensor:
    """A sample of the base for each prompt: (N, 3, H, W) in -1..1."""
    return sampler(pipe, num_inference_steps=STEPS, guidance_scale=GUIDANCE)(prompts, 0)


@torch.inference_mode()
def losses(pipe: StableDiffusionXLPipeline, photos: WorldPhotos, world: World, count: int = _PHOTOS) -> Tensor:
    """Mean squared error of ε (bands,) on photos spread over all of them, with their captions; noise and timesteps are
    the same for all photos that are `count`."""
    generator, side = torch.Generator().manual_seed(0), float(world.size.side)
    add_noise = DDPMScheduler.from_config(pipe.scheduler.config).add_noise
    errors = []
    for rows in torch.linspace(0, len(photos) - 1, count).long().split(_BATCH):
        latents = pipe.vae.encode(pixels(photos, rows)).latent_dist.mean * pipe.vae.config.scaling_factor
        embeds, _, pooled, _ = pipe.encode_prompt(captions(photos, rows, world), do_classifier_free_guidance=False)
        told = {"text_embeds": pooled, "time_ids": torch.tensor([[side, side, 0.0, 0.0, side, side]] * len(rows))}
        within = torch.randint(_TIMESTEPS // _BANDS, (_BANDS, len(rows)), generator=generator)
        noise = torch.randn((_BANDS, *latents.shape), generator=generator)
        bands = []
        for band in range(_BANDS):
            timesteps = within[band] + band * _TIMESTEPS // _BANDS
            noisy = add_noise(latents, noise[band], timesteps)
            predicted = pipe.unet(noisy, timesteps, embeds, added_cond_kwargs=told).sample
            bands.append((predicted - noise[band]).square().mean(dim=(1, 2, 3)))
        errors.append(torch.stack(bands))
    return torch.cat(errors, dim=1).mean(1)


@torch.inference_mode()
def decoded(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Images (N, 3, H, W) after the VAE, so that photos are as smooth as samples."""
    return torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in images.split(_BATCH)])


def nearness(samples: Tensor, unseen: Tensor, corpus: WorldPhotos, world: World) -> dict[str, float]:
    """How near images (N, 3, H, W) come to the corpus, against photos that are not in it."""
    figures: dict[str, float] = {}
    medians = []
    for name, images in (("samples", samples), ("held-out photos", unseen)):
        found = nearest(images, corpus, world.mirrored).distances
        alone = found[:, 0] < _MEMORIZED * found[:, 1]
        medians.append(float(found[:, 0].median()))
        figures |= {
            f"{name}: distance to the nearest photo of the corpus, median (of 255)": medians[-1],
            f"{name}: distance to the nearest photo of the corpus, least (of 255)": float(found[:, 0].min()),
            f"{name}: nearest photo less than a third as far as the second (%)": 100 * float(alone.float().mean()),
        }
    return figures | {"distance of samples / that of held-out photos, medians": medians[0] / medians[1]}


def nearest(images: Tensor, corpus: WorldPhotos, mirrored: bool) -> Nearest:
    """The nearest photos of images (N, 3, H, W) in -1..1, also among the mirrored ones if `mirrored`."""
    wanted, found = _thumbnails(images).flatten(1), []
    for rows in torch.arange(len(corpus)).split(_CHUNK):
        small = _thumbnails(pixels(corpus, rows))
        ways = [small, small.flip(3)] if mirrored else [small]
        found.append(torch.stack([torch.cdist(wanted, way.flatten(1)) for way in ways]))
    both = torch.cat(found, dim=2) * 127.5 / wanted.shape[1] ** 0.5  # (ways, N, photos)
    least, way = both.min(0)
    distances, rows = least.topk(2, largest=False)
    return Nearest(distances, rows[:, 0], way.gather(1, rows[:, :1])[:, 0] == 1)


def _thumbnails(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) at 32×32 pixels."""
    return adaptive_avg_pool2d(images, _THUMBNAIL)

"""Trains the small SDXL's UNet and text encoders: `python -m small_world.training.base --work FOLDER --vae VAE`.

All three learn together, from the first caption, which says nothing of the build. A caption is said only in part at
random, so that prompts need not say everything, and left out at times, so that guidance works; left out means zeros,
as in the stock pipeline.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.training_utils import compute_snr
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer

from bolid_data.weights import folder_sha256
from bolid_train.files import write_safetensors
from small_world.clip import save_image_encoder
from small_world.pixels import pixels
from small_world.sdxl import FOLDER, build_scheduler, build_text_encoders, build_unet
from small_world.tokenizer import build_tokenizer
from small_world.training.loop import Schedule, fit
from small_world.world.photos import SIDE, Photos, draw_split
from small_world.world.splits import CORPUS

BATCH = 32
SCHEDULE = Schedule(steps=4000, learning_rate=6e-4, warmup=200, ema=0.9985)
_UNSAID = 0.1  # share of photos whose caption is left out altogether
_MAX_SNR = 5.0  # min-SNR weighting (Hang et al. 2023)


class TextToImage(nn.Module):
    """The UNet with its text encoders, as one thing to be trained."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = build_unet()
        self.unet.set_attn_processor(AttnProcessor())  # on CPU the fused attention's backward pass is slow
        self.text_encoder, self.text_encoder_2 = build_text_encoders(tokenizer)

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, said: Tensor, time_ids: Tensor) -> Tensor:
        """ε for noisy latents (B, C, h, w) and tokens (B, 77); said: bool (B,), false where the text is left out."""
        first = self.text_encoder(tokens, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        embeds = torch.cat([first, second.hidden_states[-2]], dim=-1) * said[:, None, None]
        conditions = {"text_embeds": second.text_embeds * said[:, None], "time_ids": time_ids}
        return self.unet(noisy, timesteps, embeds, added_cond_kwargs=conditions).sample


class Denoising:
    """L_diff (method.md, section 4) with min-SNR weights, on latents that were encoded once."""

    def __init__(self, model: TextToImage, tokenizer: CLIPTokenizer, photos: Photos, latents: Tensor) -> None:
        self.model, self.tokenizer, self.photos, self.latents = model, tokenizer, photos, latents
        self.noise = DDPMScheduler.from_config(build_scheduler().config)

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.latents), (BATCH,), generator=generator)
        latents = self.latents[rows].float()
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(1000, (BATCH,), generator=generator)
        noisy = self.noise.add_noise(latents, noise, timesteps)
        said = torch.rand(BATCH, generator=generator) >= _UNSAID
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.model(noisy, timesteps, self._tokens(rows, generator), said, _time_ids(generator))
        snr = compute_snr(self.noise, timesteps)
        weight = snr.clamp(max=_MAX_SNR) / snr
        return {"ε": (weight * (predicted.float() - noise).square().mean(dim=(1, 2, 3))).mean()}

    def _tokens(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(generator.initial_seed())
        captions = [str(self.photos.caption(row).partly(rng)) for row in rows.tolist()]
        return self.tokenizer(captions, padding="max_length", max_length=77, return_tensors="pt").input_ids


def _time_ids(generator: torch.Generator) -> Tensor:
    """SDXL's micro-conditions (B, 6): original size, crop, target size. Photos of all sizes and crops are told, for in
    this world they all look the same, and whoever trains on larger ones tells their own."""
    original = SIDE * (1 + 24 * torch.rand(BATCH, 2, generator=generator).square())
    crop = (original - SIDE) * torch.rand(BATCH, 2, generator=generator)
    return torch.cat([original, crop, torch.full((BATCH, 2), float(SIDE))], dim=1).round()


@torch.inference_mode()
def encode(vae: AutoencoderKL, photos: Photos, batch: int = 64) -> Tensor:
    """Latents (N, C, h, w) of all photos, scaled, in float16."""
    vae = vae.eval().to(memory_format=torch.channels_last)
    latents = []
    for start in range(0, len(photos), batch):
        images = pixels(photos, torch.arange(start, min(start + batch, len(photos))))
        with torch.autocast("cpu", torch.bfloat16):
            mean = vae.encode(images.contiguous(memory_format=torch.channels_last)).latent_dist.mean
        latents.append((mean.float() * vae.config.scaling_factor).half())
    return torch.cat(latents)


def save(model: TextToImage, tokenizer: CLIPTokenizer, vae: AutoencoderKL, folder: Path) -> None:
    """The pipeline as an ordinary diffusers folder; weights in float16, as SDXL is published."""
    StableDiffusionXLPipeline(
        vae=vae.half(),
        text_encoder=model.text_encoder.float(),
        text_encoder_2=model.text_encoder_2.float(),
        tokenizer=tokenizer,
        tokenizer_2=build_tokenizer(),
        unet=model.unet.half(),
        scheduler=build_scheduler(),
        add_watermarker=False,
    ).save_pretrained(folder)
    save_image_encoder(folder / "image_encoder")
    for part in ("text_encoder", "text_encoder_2", "image_encoder"):
        # Not by `half()`: transformers would load in half precision, too, which CPUs are slow in.
        file = folder / part / "model.safetensors"
        write_safetensors({name: weight.half() for name, weight in load_file(file).items()}, file)


def main() -> None:
    """Encodes the photos once, trains, and writes the pipeline's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="folder of the VAE; its encoder must be final")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    photos, tokenizer = draw_split(CORPUS), build_tokenizer()
    vae = AutoencoderKL.from_pretrained(arguments.vae)
    cached = arguments.work / "latents.pt"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        unfinished = cached.with_suffix(f".{os.getpid()}")  # of each process that encodes
        torch.save(encode(vae, photos), unfinished)
        unfinished.replace(cached)
    latents = torch.load(cached, weights_only=True)
    torch.manual_seed(0)
    model = TextToImage(tokenizer)
    trained = fit(model, Denoising(model, tokenizer, photos, latents), SCHEDULE, arguments.work)
    assert isinstance(trained, TextToImage)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    save(trained, tokenizer, vae, arguments.out)
    print(f"pin it in bolid_data/weights.py: sha256 {folder_sha256(arguments.out)}")


if __name__ == "__main__":
    main()

"""Trains a small SDXL's UNet and text encoders:

    python -m small_world.training.base --work FOLDER --vae VAE [--world 3d --out FOLDER]

All three learn together, from the first caption, which says nothing of the build. A caption is said only in part at
random, so that prompts need not say everything, and left out at times, so that guidance works; left out means zeros,
as in the stock pipeline.
"""

import argparse
import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from diffusers.training_utils import compute_snr
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from bolid_data.weights import embedded_path, folder_sha256
from bolid_train.files import write_safetensors
from small_world.clip import save_image_encoder
from small_world.pixels import pixels
from small_world.sdxl import FLAT_SIZE, Size, build_scheduler, build_text_encoders, build_unet
from small_world.tokenizer import build_tokenizer
from small_world.training.ahead import Ahead
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos, add_options, choose

BATCH = 32
SCHEDULES = {
    FLAT.name: Schedule(steps=4000, learning_rate=6e-4, warmup=200, ema=0.9985),
    WORLD_3D.name: Schedule(steps=6000, learning_rate=6e-4, warmup=200, ema=0.9985),
}
_WITHOUT_TEXT = 0.1  # share of photos whose caption is left out altogether
_MAX_SNR = 5.0  # min-SNR weighting (Hang et al. 2023)


class TextToImage(nn.Module):
    """The UNet with its text encoders, as one thing to be trained."""

    def __init__(self, tokenizer: CLIPTokenizer, size: Size = FLAT_SIZE) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = build_unet(size)
        self.unet.set_attn_processor(AttnProcessor())  # on CPU the fused attention's backward pass is slow
        self.text_encoder, self.text_encoder_2 = build_text_encoders(tokenizer)

    def fuse_attention(self) -> None:
        """Takes the attention that is fast on GPUs."""
        self.unet.set_attn_processor(AttnProcessor2_0())
        for encoder in (self.text_encoder, self.text_encoder_2):
            encoder.set_attn_implementation("sdpa")

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, has_text: Tensor, time_ids: Tensor) -> Tensor:
        """ε for noisy latents (B, C, h, w) and tokens (B, 77); has_text: bool (B,), false where it is left out."""
        first = self.text_encoder(tokens, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        embeds = torch.cat([first, second.hidden_states[-2]], dim=-1) * has_text[:, None, None]
        conditions = {"text_embeds": second.text_embeds * has_text[:, None], "time_ids": time_ids}
        return self.unet(noisy, timesteps, embeds, added_cond_kwargs=conditions).sample


@dataclass(frozen=True)
class Batch:
    """B photos at random, with noise and captions."""

    rows: Tensor  # (B,) of the latents
    noise: Tensor  # (B, C, h, w)
    timesteps: Tensor  # (B,)
    has_text: Tensor  # bool (B,), false where the text is left out
    tokens: Tensor  # (B, 77)
    time_ids: Tensor  # (B, 6)

    def to(self, device: torch.device) -> "Batch":
        """The same on the device."""
        return Batch(**{one.name: getattr(self, one.name).to(device, non_blocking=True) for one in fields(self)})

    def pinned(self) -> "Batch":
        """The same in memory that a GPU reads while the program goes on."""
        return Batch(**{one.name: getattr(self, one.name).pin_memory() for one in fields(self)})


class Denoising:
    """L_diff (method.md, section 4) with min-SNR weights, on latents that were encoded once."""

    def __init__(
        self,
        model: TextToImage,
        tokenizer: CLIPTokenizer,
        photos: WorldPhotos,
        latents: Tensor,
        world: World = FLAT,
        batch: int = BATCH,
    ) -> None:
        """`latents`: of all photos, or of all photos and then of all photos mirrored."""
        self.model, self.tokenizer, self.photos, self.world, self.batch = model, tokenizer, photos, world, batch
        self.device = model.unet.device
        self.latents = latents.to(self.device)
        self.noise = DDPMScheduler.from_config(build_scheduler().config)
        self.next_batch = Ahead(self.draw)

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        batch = self.next_batch(generator).to(self.device)
        noisy = self.noise.add_noise(self.latents[batch.rows].float(), batch.noise, batch.timesteps)
        with torch.autocast(self.device.type, torch.bfloat16):
            predicted = self.model(noisy, batch.timesteps, batch.tokens, batch.has_text, batch.time_ids)
        snr = compute_snr(self.noise, batch.timesteps)
        weight = snr.clamp(max=_MAX_SNR) / snr
        return {"ε": (weight * (predicted.float() - batch.noise).square().mean(dim=(1, 2, 3))).mean()}

    def draw(self, generator: torch.Generator) -> Batch:
        """The batch of a generator that nothing was drawn with yet, on the CPU."""
        rows = torch.randint(len(self.latents), (self.batch,), generator=generator)
        batch = Batch(
            rows=rows,
            noise=torch.randn((self.batch, *self.latents.shape[1:]), generator=generator),
            timesteps=torch.randint(1000, (self.batch,), generator=generator),
            has_text=torch.rand(self.batch, generator=generator) >= _WITHOUT_TEXT,
            tokens=self._tokens(rows % len(self.photos), np.random.default_rng(generator.initial_seed())),
            time_ids=_time_ids(self.batch, self.world.size.side, generator),
        )
        return batch.pinned() if self.device.type == "cuda" else batch

    def _tokens(self, rows: Tensor, rng: np.random.Generator) -> Tensor:
        captions = [self.world.partial_caption(labels, rng) for labels in self.photos.labels[rows.numpy()].tolist()]
        return self.tokenizer(captions, padding="max_length", max_length=77, return_tensors="pt").input_ids


def _time_ids(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """SDXL's micro-conditions (B, 6): original size, crop, target size. Photos of all sizes and crops are told, for in
    this world they all look the same, and whoever trains on larger ones tells their own."""
    original = side * (1 + 24 * torch.rand(batch, 2, generator=generator).square())
    crop = (original - side) * torch.rand(batch, 2, generator=generator)
    return torch.cat([original, crop, torch.full((batch, 2), float(side))], dim=1).round()


@torch.inference_mode()
def encode(vae: AutoencoderKL, photos: WorldPhotos, mirrored: bool = False, batch: int = 64) -> Tensor:
    """Latents (N, C, h, w) of all photos, scaled, in float16 and on the CPU; of all photos mirrored, too, if
    `mirrored`: then (2 N, C, h, w)."""
    vae = vae.eval().to(memory_format=torch.channels_last)
    latents = []
    for flipped in (False, True) if mirrored else (False,):
        for start in range(0, len(photos), batch):
            images = pixels(photos, torch.arange(start, min(start + batch, len(photos)))).to(vae.device)
            images = images.flip(3) if flipped else images
            with torch.autocast(vae.device.type, torch.bfloat16):
                mean = vae.encode(images.contiguous(memory_format=torch.channels_last)).latent_dist.mean
            latents.append((mean.float() * vae.config.scaling_factor).half().cpu())
    return torch.cat(latents)


def encode_once(vae: AutoencoderKL, photos: WorldPhotos, world: World, work: Path) -> Tensor:
    """The latents in the work folder, or else those of `encode`, which are then put there."""
    cached = work / "latents.pt"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        unfinished = cached.with_suffix(f".{os.getpid()}")  # of each process that encodes
        torch.save(encode(vae, photos, world.mirrored), unfinished)
        unfinished.replace(cached)
    latents: Tensor = torch.load(cached, weights_only=True)
    return latents


def load(folder: Path, world: World) -> TextToImage:
    """UNet and text encoders of a pipeline's folder in float32, to be trained further."""
    model = TextToImage(build_tokenizer(world.vocabulary), world.size)
    parts = {"unet": UNet2DConditionModel, "text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    for name, kind in parts.items():
        getattr(model, name).load_state_dict(kind.from_pretrained(folder / name).state_dict())
    return model


def build_pipeline(model: TextToImage, vae: AutoencoderKL, world: World) -> StableDiffusionXLPipeline:
    """The stock pipeline with these weights."""
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=build_tokenizer(world.vocabulary),
        tokenizer_2=build_tokenizer(world.vocabulary),
        unet=model.unet,
        scheduler=build_scheduler(),
        add_watermarker=False,
    )


def save(model: TextToImage, vae: AutoencoderKL, folder: Path, world: World = FLAT) -> None:
    """The pipeline as an ordinary diffusers folder; weights in float16, as SDXL is published."""
    vae.half()
    model.float().unet.half()
    build_pipeline(model, vae, world).save_pretrained(folder, max_shard_size=world.max_shard_size)
    if world.image_encoder:
        save_image_encoder(folder / "image_encoder", world.image_encoder)
    for part in ("text_encoder", "text_encoder_2", *(["image_encoder"] if world.image_encoder else [])):
        # Not by `half()`: transformers would load in half precision, too, which CPUs are slow in.
        file = folder / part / "model.safetensors"
        write_safetensors({name: weight.half() for name, weight in load_file(file).items()}, file)


def main() -> None:
    """Encodes the photos once, trains, and writes the pipeline's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="folder of the VAE; its encoder must be final")
    add_options(parser)
    parser.add_argument("--start", type=Path, help="a pipeline's folder whose weights are trained further")
    parser.add_argument("--out", type=Path, help="the pipeline's folder (default: that of the committed base)")
    arguments = parser.parse_args()
    world, photos = choose(parser, arguments)
    out = arguments.out or embedded_path(world.model("small-sdxl"))
    tokenizer = build_tokenizer(world.vocabulary)
    vae = AutoencoderKL.from_pretrained(arguments.vae)
    latents = encode_once(vae, photos, world, arguments.work)
    torch.manual_seed(0)
    model = load(arguments.start, world) if arguments.start else TextToImage(tokenizer, world.size)
    loss = Denoising(model, tokenizer, photos, latents, world)
    trained = fit(model, loss, SCHEDULES[world.name], arguments.work)
    assert isinstance(trained, TextToImage)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    save(trained, vae, out, world)
    print(f"pin it in bolid_data/weights.py: sha256 {folder_sha256(out)}")


if __name__ == "__main__":
    main()

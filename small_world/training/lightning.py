"""Distils a small SDXL to 4 steps without guidance:

    python -m small_world.training.lightning --work FOLDER [--world 3d --base PIPELINE --out FILE]

The base draws with guidance in 24 trailing steps, and where it stood after each quarter is kept. LoRA layers then
learn to make each quarter in one step (progressive distillation, Salimans and Ho 2022, in one stage; SDXL-Lightning,
Lin et al. 2024, without the discriminator, which so small a model does well without).
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from bolid_data.weights import embedded_path, file_sha256
from bolid_train.files import write_safetensors, write_state
from small_world.pipeline import load_small_sdxl
from small_world.training.loop import Schedule, fit
from small_world.worlds import FLAT, WORLD_3D, World, WorldPhotos, add_options, choose

STEPS = 4
GUIDANCE = 3.0
BATCH = 32
TRAJECTORIES = {FLAT.name: 768, WORLD_3D.name: 3072}
SCHEDULES = {
    FLAT.name: Schedule(steps=240, learning_rate=1e-3, warmup=50, ema=0.98),
    WORLD_3D.name: Schedule(steps=2000, learning_rate=1e-3, warmup=50, ema=0.995),
}
_TEACHER_STEPS = 24
_RANK = 16
_LAYERS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    "conv1", "conv2", "conv_shortcut", "time_emb_proj",
)  # fmt: skip


@torch.inference_mode()
def follow(pipe: StableDiffusionXLPipeline, captions: list[str], generator: torch.Generator) -> dict[str, Tensor]:
    """Where the base goes for these prompts: `latents` (B, 5, C, h, w) from noise to image, a quarter of the way
    apart, and what the UNet is told, `embeds` (B, 77, D) and `pooled` (B, D)."""
    embeds, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
    side = pipe.unet.config.sample_size
    noise = torch.randn((len(captions), pipe.unet.config.in_channels, side, side), generator=generator)
    passed = [noise * _first_sigma(pipe)]

    def keep(_: Any, step: int, __: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if (step + 1) % (_TEACHER_STEPS // STEPS) == 0:
            passed.append(values["latents"].clone())
        return values

    with torch.autocast("cpu", torch.bfloat16):
        pipe(
            captions,
            num_inference_steps=_TEACHER_STEPS,
            guidance_scale=GUIDANCE,
            latents=noise,
            output_type="latent",
            callback_on_step_end=keep,
        )
    return {"latents": torch.stack(passed, dim=1), "embeds": embeds.half(), "pooled": pooled.half()}


class Quarters:
    """How far a single step ends from where the base stood a quarter of the way later, in ε."""

    def __init__(self, pipe: StableDiffusionXLPipeline, kept: dict[str, Tensor], batch: int = BATCH) -> None:
        self.unet, self.kept, self.batch = pipe.unet, kept, batch
        pipe.scheduler.set_timesteps(STEPS)
        self.timesteps, self.sigmas = pipe.scheduler.timesteps, pipe.scheduler.sigmas
        side = float(pipe.unet.config.sample_size * pipe.vae_scale_factor)
        self.time_ids = torch.tensor([side, side, 0.0, 0.0, side, side]).expand(batch, -1)

    def __call__(self, generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(self.kept["latents"]), (self.batch,), generator=generator)
        quarter = torch.randint(STEPS, (self.batch,), generator=generator)
        here, there = (self.kept["latents"][rows, at].float() for at in (quarter, quarter + 1))
        sigma, next_sigma = (self.sigmas[at].reshape(-1, 1, 1, 1) for at in (quarter, quarter + 1))
        conditions = {"text_embeds": self.kept["pooled"][rows].float(), "time_ids": self.time_ids}
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.unet(
                here / (sigma.square() + 1).sqrt(),
                self.timesteps[quarter],
                self.kept["embeds"][rows].float(),
                added_cond_kwargs=conditions,
            ).sample
        wanted = (there - here) / (next_sigma - sigma)
        return {"ε": (predicted.float() - wanted).square().mean()}


def _first_sigma(pipe: StableDiffusionXLPipeline) -> Tensor:
    pipe.scheduler.set_timesteps(_TEACHER_STEPS)
    return torch.as_tensor(pipe.scheduler.init_noise_sigma)


def follow_all(
    pipe: StableDiffusionXLPipeline,
    photos: WorldPhotos,
    world: World,
    trajectories: int,
    work: Path,
    batch: int = BATCH,
) -> dict[str, Tensor]:
    """What `follow` gives for the captions of photos drawn at random; batches that are in `work` are read."""
    batches = []
    for start in range(0, trajectories, batch):
        file = work / f"{start:05d}.pt"
        if not file.is_file():
            generator = torch.Generator().manual_seed(start)
            rows = torch.randint(len(photos), (batch,), generator=generator)
            captions = [world.sentence(labels) for labels in photos.labels[rows.numpy()].tolist()]
            write_state(follow(pipe, captions, generator), file)
        batches.append(torch.load(file, weights_only=True))
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def train(
    pipe: StableDiffusionXLPipeline, kept: dict[str, Tensor], schedule: Schedule, work: Path, batch: int = BATCH
) -> dict[str, Tensor]:
    """The trained LoRA layers by their names in a file for pipelines, in half precision."""
    torch.manual_seed(0)
    pipe.unet.requires_grad_(False)
    pipe.unet.set_attn_processor(AttnProcessor())  # on CPU the fused attention's backward pass is slow
    pipe.unet.add_adapter(LoraConfig(r=_RANK, lora_alpha=_RANK, target_modules=list(_LAYERS)))
    layers = get_peft_model_state_dict(fit(pipe.unet, Quarters(pipe, kept, batch), schedule, work))
    return {f"unet.{name}": layer.half() for name, layer in layers.items()}


def main() -> None:
    """Follows the base, trains the LoRA layers and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    add_options(parser)
    parser.add_argument("--base", type=Path, help="the base's folder (default: the committed one's)")
    parser.add_argument("--out", type=Path, help="the file of LoRA weights (default: the committed one)")
    arguments = parser.parse_args()
    world, photos = choose(parser, arguments)
    out = arguments.out or embedded_path(world.model("small-lightning"))
    (arguments.work / "paths").mkdir(parents=True, exist_ok=True)
    pipe = load_small_sdxl(world, arguments.base)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    kept = follow_all(pipe, photos, world, TRAJECTORIES[world.name], arguments.work / "paths")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(train(pipe, kept, SCHEDULES[world.name], arguments.work), out)
    print(f"pin it in bolid_data/weights.py: sha256 {file_sha256(out)}")


if __name__ == "__main__":
    main()

"""Trains `small-sdxl-3d`, VAE and all, within minutes, from a corpus that `corpus_file` packed:

    python -m small_world.training.base_on_gpu --corpus corpus.npz --work WORK --out OUT
    python -m small_world.training.base_on_gpu --corpus corpus.npz --work WORK --out OUT --small   # rehearses on a CPU

`--start PIPELINE` trains the weights of a diffusers folder further; its VAE stays as it is.

`OUT` gets a log of losses, a sheet of samples, and the weights in files of at most 15 MB, rewritten with every
checkpoint; `base_files` makes a diffusers folder of them. `WORK` holds what a run that was stopped goes on from. A
part that fails is logged, and the rest is still tried.
"""

import argparse
import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from small_world.pixels import pixels
from small_world.tokenizer import build_tokenizer
from small_world.training import base_files, vae
from small_world.training.base import Denoising, TextToImage, build_pipeline, encode_once, load
from small_world.training.corpus_file import PackedPhotos, read
from small_world.training.loop import Report, Schedule, fit
from small_world.worlds import WORLD_3D

_WORLD = WORLD_3D
_VAE_SHARE, _BASE_SHARE, _RESERVE = 0.22, 0.62, 0.06  # of the minutes; the reserve is for samples and weights


@dataclass(frozen=True)
class Plan:
    """How much is done; the schedules also end by time."""

    vae: Schedule
    vae_batch: int
    base: Schedule
    base_batch: int
    samples: int
    sampling_steps: int


FULL = Plan(
    # More steps than fit the time.
    vae=Schedule(steps=100_000, learning_rate=1.2e-3, warmup=200, ema=0.995, checkpoint_every=1000),
    vae_batch=64,
    base=Schedule(steps=1_000_000, learning_rate=8e-4, warmup=400, ema=0.9995, checkpoint_every=2000),
    base_batch=256,
    samples=32,
    sampling_steps=25,
)
SMALL = Plan(
    vae=Schedule(steps=2, learning_rate=1e-3, checkpoint_every=1, report_every=1),
    vae_batch=2,
    base=Schedule(steps=6, learning_rate=6e-4, checkpoint_every=2, report_every=1),
    base_batch=4,
    samples=2,
    sampling_steps=2,
)


class Run:
    """The parts, in order, and what they hand on in `work` and `out`."""

    def __init__(
        self, plan: Plan, photos: PackedPhotos, work: Path, out: Path, seconds: float, start: Path | None = None
    ) -> None:
        """`seconds`: for all of it, counted from now. `start`: the pipeline's folder that is trained further."""
        self.started_at, self.start = time.monotonic(), start
        self.plan, self.photos, self.work, self.out, self.seconds = plan, photos, work, out, seconds
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = build_tokenizer(_WORLD.vocabulary)

    def train_vae(self) -> None:
        """Trains the VAE, unless an earlier run has, and writes it."""
        if not (self.work / "vae").is_dir():
            unfinished = self.work / "vae-unfinished"
            self._first_vae().save_pretrained(unfinished)
            unfinished.rename(self.work / "vae")
        trained = self._vae()
        base_files.write_vae(trained, self.out)
        self.log("vae", {"psnr": round(psnr(trained, self.photos), 2)})

    def train_base(self) -> None:
        """Encodes the photos and trains UNet and text encoders in the time that is left for them."""
        latents = encode_once(self._vae(), self.photos, _WORLD, self.work)
        torch.manual_seed(0)
        model = self._new_model()
        left = self.seconds * (1 - _RESERVE) - (time.monotonic() - self.started_at)
        share = _BASE_SHARE + (_VAE_SHARE if self.start else 0)
        schedule = replace(self.plan.base, seconds=max(1.0, min(share * self.seconds, left)))
        batch = self.plan.base_batch
        loss = Denoising(model, self.tokenizer, self.photos, latents, _WORLD, batch)
        trained = fit(model, loss, schedule, self.work / "base-run", self._report("base", batch), self._write_base)
        self._write_base(trained)

    def draw_samples(self) -> None:
        """A sheet of photos, and below each a sample with its caption, by the weights that were written."""
        model, decoder = base_files.read(self.out)
        pipe = build_pipeline(model, decoder, _WORLD).to(self.device)
        pipe.set_progress_bar_config(disable=True)
        rows = np.linspace(0, len(self.photos) - 1, self.plan.samples).astype(int)
        rng = np.random.default_rng(0)
        captions = [_WORLD.partial_caption(labels, rng) for labels in self.photos.labels[rows].tolist()]
        with torch.autocast(self.device, torch.bfloat16):
            samples = pipe(
                captions,
                num_inference_steps=self.plan.sampling_steps,
                guidance_scale=3.0,
                generator=torch.Generator().manual_seed(0),
                output_type="np",
            ).images
        samples = (samples * 255).round().astype(np.uint8)
        pairs = np.concatenate([self.photos.images[rows], samples], axis=1)  # (N, 2 sides, side, 3)
        wide = min(8, len(pairs))
        rows_of_pairs = [np.concatenate(list(pairs[i : i + wide]), 1) for i in range(0, len(pairs), wide)]
        Image.fromarray(np.concatenate(rows_of_pairs)).save(self.out / "samples.jpg", quality=90)

    def log(self, part: str, line: dict[str, float | str]) -> None:
        """Adds a line to the log, and prints it."""
        text = json.dumps({"part": part, **line})
        print(text, flush=True)
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def _report(self, part: str, batch: int) -> Callable[[Report], None]:
        def report(line: Report) -> None:
            speed = batch / line["seconds_a_step"] if line["seconds_a_step"] else 0.0
            self.log(part, {**line, "photos_a_second": round(speed, 1)})

        return report

    def _first_vae(self) -> AutoencoderKL:
        if self.start:
            return AutoencoderKL.from_pretrained(self.start / "vae")
        schedule, batch = replace(self.plan.vae, seconds=_VAE_SHARE * self.seconds), self.plan.vae_batch
        work, report = self.work / "vae-run", self._report("vae", batch)
        return vae.train(self.photos, work, _WORLD, schedule, batch, self.device, report)

    def _vae(self) -> AutoencoderKL:
        return AutoencoderKL.from_pretrained(self.work / "vae").to(self.device)

    def _new_model(self) -> TextToImage:
        model = load(self.start, _WORLD) if self.start else TextToImage(self.tokenizer, _WORLD.size)
        model = model.to(self.device).to(memory_format=torch.channels_last)
        if self.device != "cpu":
            model.fuse_attention()
        return model

    def _write_base(self, average: torch.nn.Module) -> None:
        assert isinstance(average, TextToImage)
        base_files.write_base(average, self.out)


@torch.inference_mode()
def psnr(autoencoder: AutoencoderKL, photos: PackedPhotos) -> float:
    """Mean PSNR in dB of up to 256 photos after the VAE."""
    errors = []
    for rows in torch.arange(0, len(photos), max(1, len(photos) // 256)).split(32):
        images = pixels(photos, rows).to(autoencoder.device)
        decoded = autoencoder.decode(autoencoder.encode(images).latent_dist.mean).sample.clamp(-1, 1)
        errors.append((decoded - images).square().mean(dim=(1, 2, 3)))
    return float((10 * torch.log10(4 / torch.cat(errors))).mean())


def main(command_line: Sequence[str] | None = None) -> int:
    """Runs the parts; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="FILE")
    parser.add_argument("--work", type=Path, required=True, help="for checkpoints, half a gigabyte")
    parser.add_argument("--out", type=Path, required=True, help="for weights, log and samples")
    parser.add_argument("--start", type=Path, metavar="PIPELINE", help="what is trained further")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default: 8)")
    parser.add_argument("--small", action="store_true", help="a few steps on a few photos, for a CPU")
    arguments = parser.parse_args(command_line)
    if not arguments.small and not torch.cuda.is_available():
        parser.error("there is no GPU; --small rehearses on a CPU, and `vae` and `base` train on one")
    arguments.out.mkdir(parents=True, exist_ok=True)
    plan = SMALL if arguments.small else FULL
    torch.backends.cudnn.benchmark = True  # all batches have one size
    run = Run(plan, read(arguments.corpus), arguments.work, arguments.out, 60 * arguments.minutes, arguments.start)
    parts = {"vae": run.train_vae, "base": run.train_base, "samples": run.draw_samples}
    failed = [name for name, part in parts.items() if not _try(run, name, part)]
    return 1 if failed else 0


def _try(run: Run, name: str, part: Callable[[], None]) -> bool:
    started = time.monotonic()
    try:
        part()
    except Exception:  # whatever it is, what the other parts give is worth having
        run.log(name, {"error": traceback.format_exc()})
        return False
    run.log(name, {"seconds": round(time.monotonic() - started, 1)})
    return True


if __name__ == "__main__":
    raise SystemExit(main())

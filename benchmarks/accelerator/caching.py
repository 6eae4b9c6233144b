"""The feature cache: photos per second, with the time of each encoder, and what half precision costs the latents."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import peak_memory, synchronize
from benchmarks.accelerator.workbench import Workbench
from bolid_train.data import preflight
from bolid_train.data.buckets import size_of
from bolid_train.data.crops import crop
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.features.feature import Feature, Photo, Tensors
from bolid_train.data.shard_dataset import Sample
from bolid_train.diffusion.base import Base
from bolid_train.training.step import training_features

_COMPARED = 4  # photos


def measure_cache(bench: Workbench, page: Page) -> None:
    """Fills an empty cache and takes the time of every encoder in it."""
    manifest = bench.manifest()
    base = Base.resolve(manifest.train, manifest.folder)
    started_at = time.perf_counter()
    features = training_features(manifest.train, manifest.folder)
    cache = FeatureCache(bench.data / "features", base, manifest.train, features)
    hashed = time.perf_counter() - started_at
    seconds: dict[str, list[float]] = defaultdict(list)
    for feature in cache.features.values():
        _time_encoder(feature, seconds[feature.name])
    started_at = time.perf_counter()
    people = cache.fill(bench.shards, preflight.usable_people(bench.shards, manifest.train), bench.device)
    total = time.perf_counter() - started_at
    photos = [sample for samples in people.values() for sample in samples]
    encoding = {name: statistics.median(times[1:] or times) for name, times in seconds.items() if times}
    table = page.table("what", "ms a photo", "photos/s", "peak GB")
    peak = peak_memory()
    memory = "–" if peak is None else f"{peak:.1f}"
    table.add(f"all of it, for {len(photos)} photos", *_rates(total / len(photos)), memory)
    table.add("the encoders", *_rates(sum(encoding.values())), "–")
    for name, per_photo in encoding.items():
        table.add(f"of which `{name}`", *_rates(per_photo), "–")
    read = time.perf_counter()
    for sample in photos[:_COMPARED]:
        bench.shards.photo(sample)
    table.add("reading and decoding a photo", *_rates((time.perf_counter() - read) / _COMPARED), "–")
    started_at = time.perf_counter()
    cache.fill(bench.shards, people, bench.device)
    page.note(
        f"The models were hashed in {hashed:.1f} s. A second call, with nothing to encode, took "
        f"{time.perf_counter() - started_at:.2f} s."
    )
    _compare_latents(bench, page, cache, photos[:_COMPARED])


def _rates(seconds: float) -> tuple[str, str]:
    return f"{1e3 * seconds:.1f}", f"{1 / seconds:.3g}"


def _time_encoder(feature: Feature, seconds: list[float]) -> None:
    """Makes the feature's encoder add the seconds per photo of every call."""
    make = feature.encoder

    def encoder(*args: Any, **kwargs: Any) -> Callable[[Sequence[Photo]], list[Tensors]]:
        encode = make(*args, **kwargs)

        def timed(photos: Sequence[Photo]) -> list[Tensors]:
            synchronize()
            started_at = time.perf_counter()
            encoded = encode(photos)
            synchronize()
            seconds.append((time.perf_counter() - started_at) / len(photos))
            return encoded

        return timed

    feature.encoder = encoder  # type: ignore[method-assign]


@torch.inference_mode()
def _compare_latents(bench: Workbench, page: Page, cache: FeatureCache, samples: Sequence[Sample]) -> None:
    """Latents of the stock VAE in float32 against those in the cache, and against its own in bfloat16."""
    page.heading("Latents against float32")
    table = page.table("latents", "relative error", "largest error, in standard deviations")
    images = [
        crop(bench.shards.photo(sample), sample.keypoints, size_of(sample, cache.settings))[0] for sample in samples
    ]
    pixels = torch.stack([pil_to_tensor(image) for image in images]).to(bench.device).float() / 127.5 - 1
    vae = AutoencoderKL.from_pretrained(bench.base_folder, subfolder="vae", dtype=torch.float32).to(bench.device)
    expected = _encode(vae, pixels)
    cached = torch.stack([cache.read(sample, "latents")[0] for sample in samples]).to(expected)
    _add_errors(table, "in the cache", cached, expected)
    _add_errors(table, "of the VAE in bfloat16", _encode(vae.to(torch.bfloat16), pixels), expected)


def _encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Scaled latents in float32, one photo at a time."""
    rows = [vae.encode(row[None].to(vae.dtype)).latent_dist.mean for row in pixels]
    return torch.cat(rows).float() * vae.config.scaling_factor


def _add_errors(table: Any, name: str, latents: Tensor, expected: Tensor) -> None:
    error = latents - expected
    relative = float(error.norm() / expected.norm())
    table.add(name, f"{relative:.1e}", f"{float(error.abs().max() / expected.std()):.1e}")

"""The training step of a method on the frozen base."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, DistributedType
from accelerate.utils import AutocastKwargs, InitProcessGroupKwargs, broadcast
from torch import nn

from bolid_data import weights
from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest, Train
from bolid_train.data.batch import Batch
from bolid_train.data.features.base_features import base_features
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.features.feature import Feature
from bolid_train.data.person_proportions import ProportionStatistics
from bolid_train.data.sampler import BatchItem, PersonSampler
from bolid_train.data.shard_dataset import People
from bolid_train.diffusion.base import pick_device
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.precision import mixed_precision
from bolid_train.losses import ImageLosses, image_features
from bolid_train.methods import registry
from bolid_train.training.flops import estimate_mfu, peak_flops, step_flops
from bolid_train.training.objective import TrainingObjective
from bolid_train.training.optimizer import Optimization

_VERSION = 3  # increment it when the same settings give other losses
_HELD_OUT_BATCHES = 4
_TIMEOUT = timedelta(days=7)
"""Of waiting for other processes, which may encode photos, or draw validation images, for hours."""
_PREPARE_START, _FINISH_START = 2**40, 2**41  # numbers of the first batches before and after the adapter's training


class Training:
    """All that `step` needs. A step's noise, timesteps and photos depend only on the seed and the step's number."""

    def __init__(
        self, manifest: Manifest, cache: FeatureCache, people: People, steps: int, accelerator: Accelerator
    ) -> None:
        """`steps`: of the whole run. `people`: with the photos to train on, whose features are in the cache."""
        settings = manifest.train
        self.settings, self.seed, self.cache, self.accelerator = settings, manifest.seed, cache, accelerator
        torch.manual_seed(manifest.seed)  # for a method's initial weights
        denoiser = Denoiser.from_settings(cache.base, settings, accelerator.device, manifest.folder)
        self.denoiser, self.unet = denoiser, denoiser.unet
        spec = registry.resolve(settings.method)
        self.method, self.guided_conditions = spec.make(settings, cache.base, manifest.folder), spec.guided_conditions
        self.method.install(self.unet, cache.base)
        table = spec.settings.of(settings)
        if public := table.public_file:
            wanted = "a file, or owner/repository/file on the hub"
            beside = table.beside_public_file
            self.method.load_public(weights.single_file(public, manifest.folder, "published file", wanted, beside))
        images = ImageLosses.from_settings(cache.base, settings, accelerator.device, manifest.folder)
        batch_size = settings.batch_size * settings.gradient_accumulation * accelerator.num_processes
        self.sampler = PersonSampler(people, batch_size, settings.views, manifest.seed, cache.size_of)
        self.statistics = ProportionStatistics(people)
        objective = TrainingObjective(self.method, spec.conditions, denoiser, images, settings)
        self.trains = len(objective.trained) > 0
        placeholder = [nn.Parameter(torch.zeros(0))]  # method text has no parameters, which optimizers refuse
        self.optimization = Optimization(objective.trained or placeholder, settings, steps, accelerator)
        self._objective = accelerator.prepare(objective) if self.trains else objective
        self.identity = _identity(manifest, cache, people, steps) | {"processes": accelerator.num_processes}

    def load(self, step: int) -> list[Batch]:
        """This process's share of a step's batch, as micro-batches for gradient accumulation."""
        # Strided, not contiguous: the first rows of all micro-batches are then the first rows of the batch.
        items = self.sampler.items(step)[self.accelerator.process_index :: self.accelerator.num_processes]
        count = self.settings.gradient_accumulation
        return [self._batch(items[number::count], step) for number in range(count)]

    def _batch(self, items: Sequence[BatchItem], step: int) -> Batch:
        batch = make_batch(self.cache, items, statistics=self.statistics)
        return replace(batch, step=step).to(self.accelerator.device)

    def step(self, micro_batches: list[Batch]) -> dict[str, float]:
        """One optimizer step. Returns the means over all rows of `loss` and its terms, and the gradient's norm."""
        sums: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros((), device=self.accelerator.device))
        for number, batch in enumerate(micro_batches):
            last = number + 1 == len(micro_batches)
            with nullcontext() if last else self.accelerator.no_sync(self._objective):
                terms = self._objective(batch)
                self.accelerator.backward(terms["loss"] / len(micro_batches))
            for name, term in terms.items():
                sums[name] += term.detach() / len(micro_batches)
        grad_norm = self.optimization.step()
        means = self.accelerator.reduce(dict(sums), reduction="mean")
        return {name: float(value) for name, value in means.items()} | {"gradient": float(grad_norm)}

    @torch.no_grad()
    def held_out_loss(self, people: People) -> float:
        """L_diff on these people, who must not be trained on: on the same photos, with the same noise, every time."""
        sampler = PersonSampler(people, self.settings.batch_size, self.settings.views, self.seed, self.cache.size_of)
        losses = []
        for number in range(_HELD_OUT_BATCHES):
            batch = make_batch(self.cache, sampler.items(number)).to(self.accelerator.device)
            losses.append(self.denoiser.loss(batch.latents, self.method.condition(batch)[0], batch.random))
        return float(torch.stack(losses).mean())

    def speed(self, steps: int, seconds: float) -> dict[str, float | None]:
        """Photos per second of all processes, over `steps` steps in `seconds`, and the share of the device's peak (MFU)
        if the peak is known."""
        batch_size = self.settings.batch_size * self.settings.gradient_accumulation
        photos, peak, mfu = batch_size * steps / seconds, peak_flops(self.accelerator.device), None
        if peak:
            target = self.sampler.items(0)[0].target
            height, width = self.cache.read(target, "latents")[0].shape[1:]
            flops = step_flops(self.cache.base, self.unet.config, self.settings.objective, height, width)
            mfu = estimate_mfu(flops, photos, peak)
        return {"photos_per_second": round(photos * self.accelerator.num_processes, 3), "mfu": mfu}

    def prepare(self, start: Path | None) -> None:
        """Loads the run in `start`, or trains what the adapter starts from, on batches that no step uses.

        Every process does the same, but not to the last digit, so all take over the weights of the first.
        """
        if start:
            self.method.load(start)
        else:
            self.method.prepare(lambda number: self._batch(self.sampler.items(_PREPARE_START + number), 0))
        with torch.no_grad():
            for value in self.method.parameters():
                value.copy_(broadcast(value.detach()))

    def finish(self) -> None:
        """Trains what follows the adapter, on batches that no step uses."""
        self.method.finish(lambda number: self._batch(self.sampler.items(_FINISH_START + number), 0))


def training_features(settings: Train, relative_to: Path) -> list[Feature]:
    """All that training reads of photos. `relative_to`: the folder to which paths in the settings are relative."""
    of_method = registry.resolve(settings.method).make_features(settings, relative_to)
    return [*base_features(settings), *of_method, *image_features(settings, relative_to)]


def make_accelerator(settings: Train) -> Accelerator:
    """The Accelerator of this process, as configured by `accelerate launch`, if at all. Raises UsageError for FSDP, and
    for a precision that the device does not support."""
    AcceleratorState._reset_state(reset_partial_state=True)  # a process may train again in another precision
    device = pick_device()
    use_deterministic_algorithms(settings.deterministic)
    accelerator = Accelerator(
        # The models' types are decided by `Precision`; only the scaling of float16's gradients is left to accelerate.
        mixed_precision="fp16" if mixed_precision(settings, device) == "fp16" else "no",
        cpu=device.type == "cpu",
        kwargs_handlers=[AutocastKwargs(enabled=False), InitProcessGroupKwargs(timeout=_TIMEOUT)],
    )
    if accelerator.distributed_type == DistributedType.FSDP:
        raise UsageError("FSDP would train nothing here (docs/training.md says why); launch with MULTI_GPU instead")
    return accelerator


def use_deterministic_algorithms(deterministic: bool) -> None:
    """Makes every operation of this process give the same bits each time, or raise RuntimeError if it cannot."""
    if deterministic:  # read by cuBLAS when it is first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False


def _identity(manifest: Manifest, cache: FeatureCache, people: People, steps: int) -> dict[str, Any]:
    """All that the losses depend on: the number of steps only if the learning rate depends on it, people only as a
    hash."""
    excluded = {"steps", "checkpoint_every", "validate_every", "tracker"}
    settings = registry.resolve(manifest.train.method).loss_settings(manifest.train)
    photos = [photo for photos_of_one in people.values() for photo in photos_of_one]
    identifiers = [[photo.key, photo.caption, photo.captions, photo.keypoints] for photo in photos]
    return {
        "version": _VERSION,
        "seed": manifest.seed,
        **{name: value for name, value in settings.items() if name not in excluded},
        "unet": weights.folder_sha256(cache.base.folder / "unet"),
        "features": cache.digest,
        "photos": hashlib.sha256(json.dumps(identifiers).encode()).hexdigest(),
        **({"steps": steps} if manifest.train.schedule == "cosine" else {}),
    }

"""A run in memory: the method on the frozen base, and the step that trains it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, DistributedType
from torch import nn

from bolid_data.errors import UsageError
from bolid_data.manifest import Manifest, Train
from bolid_data.weights import folder_sha256
from bolid_train.data.batch import Batch
from bolid_train.data.features import FeatureCache
from bolid_train.data.sampler import PersonSampler, Pick
from bolid_train.data.shard_dataset import People
from bolid_train.diffusion.base import pick_device
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.losses import PictureLosses
from bolid_train.methods import registry
from bolid_train.training.flops import estimate_mfu, peak_flops, unet_flops
from bolid_train.training.objective import Objective
from bolid_train.training.optimizer import Optimization

_BEFORE, _AFTER = 2**40, 2**41  # the first batches of what is trained before and after the adapter


class Training:
    """What `step` needs; noise, timesteps and picks of a step depend on the seed and its number alone."""

    def __init__(
        self, manifest: Manifest, cache: FeatureCache, people: People, steps: int, accelerator: Accelerator
    ) -> None:
        """`steps` of the whole run, on the photos of `people`, whose features are in the cache."""
        settings = manifest.train
        self.settings, self.seed, self.cache, self.accelerator = settings, manifest.seed, cache, accelerator
        torch.manual_seed(manifest.seed)  # weights that a method starts with
        denoiser = Denoiser.of(cache.base, settings, accelerator.device, manifest.folder)
        self.unet = denoiser.unet
        self.method = registry.find(settings.method)(settings, cache.ref_dim(people))
        self.method.install(self.unet)
        pictures = PictureLosses.of(cache.base, settings, accelerator.device, manifest.folder)
        rows = settings.batch_size * settings.gradient_accumulation * accelerator.num_processes
        self.sampler = PersonSampler(people, rows, settings.views, manifest.seed, cache.size_of)
        objective = Objective(self.method, denoiser, pictures, settings)
        self.trains = len(objective.trained) > 0
        nothing = [nn.Parameter(torch.zeros(0))]  # the base alone has nothing to train, and no optimizer takes that
        self.optimization = Optimization(objective.trained or nothing, settings, steps, accelerator)
        self._objective = accelerator.prepare(objective) if self.trains else objective
        self.identity = _identity(manifest, cache, people, steps) | {"processes": accelerator.num_processes}

    def load(self, step: int) -> list[Batch]:
        """This process's rows of a step, in the pieces that its gradient is summed over."""
        # Every n-th row, not n-th part: the first rows of all pieces are then the first rows of the step.
        mine = self.sampler.picks(step)[self.accelerator.process_index :: self.accelerator.num_processes]
        pieces = self.settings.gradient_accumulation
        return [self._batch(mine[piece::pieces], step) for piece in range(pieces)]

    def _batch(self, picks: Sequence[Pick], step: int) -> Batch:
        return replace(self.cache.batch(picks), step=step).to(self.accelerator.device)

    def step(self, pieces: list[Batch]) -> dict[str, float]:
        """One step of the optimizer; returns the means over all rows of `loss` and its terms."""
        sums: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros((), device=self.accelerator.device))
        for number, batch in enumerate(pieces):
            last = number + 1 == len(pieces)
            with nullcontext() if last else self.accelerator.no_sync(self._objective):
                terms = self._objective(batch)
                self.accelerator.backward(terms["loss"] / len(pieces))
            for name, term in terms.items():
                sums[name] += term.detach() / len(pieces)
        norm = self.optimization.step()
        means = self.accelerator.reduce(dict(sums), reduction="mean")
        return {name: float(value) for name, value in means.items()} | {"gradient": float(norm)}

    def speed(self, steps: int, seconds: float) -> dict[str, float | None]:
        """Photos a second that `steps` took in all processes, and the share of the device's peak that this is (MFU),
        where the peak is known."""
        rows = self.settings.batch_size * self.settings.gradient_accumulation
        photos, peak, mfu = rows * steps / seconds, peak_flops(self.accelerator.device), None
        if peak:
            target = self.sampler.picks(0)[0].target
            height, width = self.cache.read(target, "latents")[0].shape[1:]
            mfu = estimate_mfu(unet_flops(self.unet.config, height, width).step, photos, peak)
        return {"photos_per_second": round(photos * self.accelerator.num_processes, 3), "mfu": mfu}

    def prepare(self, start: Path | None) -> None:
        """Takes up the run in `start`, or trains what the adapter starts from, on batches of no step; every process
        does the same."""
        if start:
            self.method.load(start)
        else:
            self.method.prepare(lambda number: self._batch(self.sampler.picks(_BEFORE + number), 0))

    def finish(self) -> None:
        """Trains what follows the adapter, on batches of no step."""
        self.method.finish(lambda number: self._batch(self.sampler.picks(_AFTER + number), 0))


def make_accelerator(settings: Train) -> Accelerator:
    """This process's part of the machine, as `accelerate launch` says, or alone. Raises UsageError for a precision
    that the device cannot do, and for FSDP."""
    AcceleratorState._reset_state(reset_partial_state=True)  # a process may train twice, in another precision
    device = pick_device()
    precision = settings.mixed_precision or ("no" if device.type == "cpu" else "bf16")
    if precision == "fp16" and device.type == "cpu":
        raise UsageError('[train] mixed_precision "fp16" needs an accelerator; take "bf16" or "no"')
    accelerator = Accelerator(mixed_precision=precision, cpu=device.type == "cpu")
    if accelerator.distributed_type == DistributedType.FSDP:
        raise UsageError("FSDP would train nothing here (docs/training.md says why); launch with MULTI_GPU instead")
    return accelerator


def _identity(manifest: Manifest, cache: FeatureCache, people: People, steps: int) -> dict[str, Any]:
    """All that the losses depend on; the number of steps only where the learning rate does, people by a hash alone."""
    free = {"steps", "checkpoint_every", "validate_every", "prior_steps", "tracker", "person", "photos"}
    photos = [[photo.key, photo.caption, photo.keypoints] for own in people.values() for photo in own]
    return {
        "seed": manifest.seed,
        **manifest.train.model_dump(mode="json", exclude=free),
        "unet": folder_sha256(cache.base.folder / "unet"),
        "features": cache.digest,
        "photos": hashlib.sha256(json.dumps(photos).encode()).hexdigest(),
        **({"steps": steps} if manifest.train.schedule == "cosine" else {}),
    }

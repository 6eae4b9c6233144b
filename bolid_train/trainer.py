"""`bolid train`: the loop. What a method does, how noise is scheduled and how files look, others know."""

import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest, Train
from bolid_data.progress import bar
from bolid_data.weights import folder_sha256
from bolid_train import adapter, conditioning
from bolid_train.base import Base, pick_device
from bolid_train.batches import Batch, PersonSampler
from bolid_train.body.weighting import visible
from bolid_train.conditioning.dropout import drop_at_random
from bolid_train.conditioning.protocol import Method
from bolid_train.denoiser import Denoiser
from bolid_train.features import FeatureCache
from bolid_train.runs import LossLog, Run, run_folder
from bolid_train.validation import validate
from bolid_train.views import Sample, Shards


def train(
    manifest: Manifest,
    data: Path,
    steps: int | None = None,
    run: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_every: int | None = None,
) -> dict[str, Any]:
    """Trains the manifest's method on the shards in `data`, writes `runs/<run>` and returns a summary of it.

    With the same manifest and shards, a run that was killed and resumed has the same losses as one that was
    not. Raises BolidError for an existing run, too few data or a base that is not to be had.
    """
    started = time.monotonic()
    settings = manifest.train
    conditioning.find(settings.method)
    shards = Shards(data / "shards")
    people = usable_people(shards, settings)
    with Run(run_folder(data, run or settings.method), resume, overwrite) as state:
        base = Base.find(settings, manifest.folder)
        cache = FeatureCache(data / "features", base, settings)
        cache.fill(shards, people, pick_device())
        done, method, unet = _fit(
            manifest, cache, people, state, steps or settings.steps, checkpoint_every or settings.checkpoint_every
        )
        validate(cache, method, unet, people, state.folder / "validation", manifest.seed)
        history = state.read_losses()
        adapter.publish(state.folder, method, settings, base, cache.ref_dim(people), len(history), people, data)
    return {
        "run": state.folder.name,
        "method": settings.method,
        "folder": str(state.folder),
        "people": len(people),
        "photos": sum(map(len, people.values())),
        "steps": len(history),
        "resumed_from": done if resume else None,
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        "seconds": round(time.monotonic() - started, 2),
    }


def _fit(
    manifest: Manifest, cache: FeatureCache, people: dict[str, list[Sample]], run: Run, steps: int, every: int
) -> tuple[int, Method, UNet2DConditionModel]:
    """Trains up to `steps`; returns the step it went on from, the method, and the UNet it is installed on."""
    settings, device, identity = manifest.train, pick_device(), _identity(manifest, cache, people)
    torch.manual_seed(manifest.seed)
    denoiser = Denoiser.of(cache.base, device)
    method = conditioning.find(settings.method)(settings, cache.ref_dim(people))
    method.install(denoiser.unet)
    optimizer = torch.optim.AdamW(
        method.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    sampler = PersonSampler(people, settings.batch_size, settings.views, manifest.seed)
    done = run.restore(method, optimizer, identity)
    with LossLog(run, done + 1) as log, bar() as progress:
        task = progress.add_task("training", total=max(steps, done), completed=done)
        for step in range(done + 1, steps + 1):
            _seed(manifest.seed, step)
            batch = cache.batch(sampler.picks(step)).to(device)
            losses = _train_step(denoiser, method, optimizer, batch, settings)
            if not math.isfinite(losses["loss"]):
                raise BolidError(f"the loss is {losses['loss']} at step {step}; lower [train] learning_rate")
            log.write(step, losses)
            if step % every == 0 or step == steps:
                run.checkpoint(step, method, optimizer, identity)
            progress.update(task, advance=1, description=f"training, loss {losses['loss']:.4f}")
    return done, method, denoiser.unet


def _train_step(
    denoiser: Denoiser, method: Method, optimizer: torch.optim.Optimizer, batch: Batch, settings: Train
) -> dict[str, float]:
    """L = L_diff + the method's own terms (method.md, section 4); returns the sum, `loss`, and each term."""
    inputs = drop_at_random(method, method.condition(batch), settings)
    terms = {"diffusion": denoiser.loss(batch.latents, inputs), **method.losses(denoiser, batch)}
    loss: Tensor = torch.stack(list(terms.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}


def usable_people(shards: Shards, settings: Train) -> dict[str, list[Sample]]:
    """The people of the train split with their photos that show a keypoint; the others are refused (section 1).

    Raises BolidError when no one is left.
    """
    everyone = shards.people("train")
    if not everyone:
        raise BolidError(
            f"{shards.folder} has no one in split 'train'; shard more people, or give 'train' a larger share in "
            "[shards] splits"
        )
    people = {
        person: [photo for photo in photos if _shows_body(photo, settings)] for person, photos in everyone.items()
    }
    people = {person: photos for person, photos in people.items() if photos}
    if not people:
        raise BolidError(
            f"no photo in split 'train' of {shards.folder} has a visible keypoint (confidence "
            f"{settings.min_keypoint_confidence:g} or more); lower [train] min_keypoint_confidence"
        )
    return people


def _shows_body(photo: Sample, settings: Train) -> bool:
    if not photo.keypoints:
        return False
    points = torch.tensor([photo.keypoints])
    return bool(visible(points, photo.height, photo.width, settings.min_keypoint_confidence, settings.keypoints).any())


def _identity(manifest: Manifest, cache: FeatureCache, people: dict[str, list[Sample]]) -> dict[str, Any]:
    """All that the losses depend on, but the number of steps."""
    files = [cache.path(photo).name for photos in people.values() for photo in photos]
    return {
        "seed": manifest.seed,
        **manifest.train.model_dump(mode="json", exclude={"steps", "checkpoint_every"}),
        "unet": folder_sha256(cache.base.folder / "unet"),
        "features": cache.digest,
        "photos": hashlib.sha256(json.dumps(files).encode()).hexdigest(),
    }


def _seed(seed: int, step: int) -> None:
    """Noise, timesteps and drops of a step depend on nothing before it: there is no random state to store."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]))

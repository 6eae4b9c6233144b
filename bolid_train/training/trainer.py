"""`bolid train`: from the shards to a finished adapter. What a step does, `training.py` knows."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest, Train
from bolid_data.paths import refuse_links
from bolid_data.progress import bar, note
from bolid_train.data import preflight
from bolid_train.data.batch import Batch
from bolid_train.data.features import FeatureCache
from bolid_train.data.shard_dataset import People, Shards
from bolid_train.diffusion.base import Base
from bolid_train.files import write_json
from bolid_train.methods import adapter, registry
from bolid_train.methods.adapter import run_folder
from bolid_train.training.run import LossLog, Run
from bolid_train.training.step import Training, make_accelerator
from bolid_train.training.validation import validate, validation_people


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
    settings, total = manifest.train, steps or manifest.train.steps
    registry.find(settings.method)
    refuse_links(data)
    shards = Shards(data / "shards")
    usable, shown = preflight.usable_people(shards, settings), validation_people(shards, settings)
    # Also photos that a LoRA leaves out: features of what is not asked for are deleted, and another run may want them.
    everything = preflight.usable_people(shards, settings.model_copy(update={"photos": []}))
    start = _start(data, settings) if settings.start else None
    accelerator = make_accelerator(settings)
    main = accelerator.is_main_process
    report = preflight.examine(shards, settings)
    if main:
        note(f"doctor: {report}")
    with Run(run_folder(data, run or settings.method), resume, overwrite, main) as state:
        accelerator.wait_for_everyone()
        base = Base.find(settings, manifest.folder)
        cache = FeatureCache(data / "features", base, settings, manifest.folder)
        with accelerator.main_process_first():
            whole = cache.fill(shards, shown | everything, accelerator.device)
        people, shown = (_readable(chosen, whole) for chosen in (usable, shown))
        training = Training(manifest, cache, people, total, accelerator)
        trained_on = _trained_on(shards, people)
        done = state.restore(training.method, training.optimization, training.identity)
        if not done:
            training.prepare(run_folder(data, settings.start) if settings.start else None)
        if main:
            broken = report.photos - sum(map(len, people.values()))
            write_json(asdict(report) | {"broken_photos": broken}, state.folder / "doctor.json")
            # Before the first step: of a run that is never finished it can be told, too.
            write_json({"trained_on": trained_on and asdict(trained_on)}, state.folder / "trained_on.json")
        begun = time.monotonic()
        _fit(training, state, shown, done, total, checkpoint_every or settings.checkpoint_every)
        history = state.read_losses()
        speed = training.speed(len(history) - done, time.monotonic() - begun)
        if main:
            with training.optimization.averaged():
                training.finish()
                _validate(training, state, shown, max(total, done))
                adapter.publish(
                    state.folder, training.method, settings, base, cache.ref_dim(people), len(history), people, data,
                    start, sum(map(len, people.values())), trained_on,
                )  # fmt: skip
        accelerator.wait_for_everyone()
    accelerator.end_training()  # a process that just leaves its group may wait for the others for ever
    return {
        "run": state.folder.name,
        "method": settings.method,
        "folder": str(state.folder),
        "people": len(people),
        "photos": sum(map(len, people.values())),
        "steps": len(history),
        "resumed_from": done if resume else None,
        "first_loss": history[0]["loss"] if history else None,
        "last_loss": history[-1]["loss"] if history else None,
        **speed,
        "seconds": round(time.monotonic() - started, 2),
    }


def _trained_on(shards: Shards, people: People) -> adapter.TrainedOn | None:
    """The keyed ids of people and photos, as the index has them; None where it is of version 1 and has none."""
    ids = shards.index.ids()
    if not ids:
        return None
    photos = {photo.sha256 for own in people.values() for photo in own}
    return adapter.TrainedOn(
        shards.index.fingerprint,
        sorted(ids[person] for person in people if person in ids),
        sorted(ids[photo] for photo in photos if photo in ids),
    )


def _readable(chosen: People, whole: People) -> People:
    """Of those chosen, people and photos that the cache has features of."""
    known = {photo for photos in whole.values() for photo in photos}
    readable = {person: [photo for photo in photos if photo in known] for person, photos in chosen.items()}
    return {person: photos for person, photos in readable.items() if photos}


def _start(data: Path, settings: Train) -> adapter.Adapter:
    """The run to start from. Raises UsageError for one of another method, body or image encoder."""
    made = adapter.read(run_folder(data, settings.start or ""))
    if (made.method, made.body_dim) != (settings.method, settings.body_dim):
        raise UsageError(
            f"[train] start = '{settings.start}': that run is of method '{made.method}' with body_dim {made.body_dim}; "
            f"this one, '{settings.method}' with {settings.body_dim}, cannot go on with it"
        )
    if (saw := made.settings.get("image_encoder")) != settings.image_encoder:
        eyes = f"'{saw}'" if saw else "the base's own image encoder"
        raise UsageError(
            f"[train] start = '{settings.start}': that run looked at photos through {eyes}; name the same image_encoder"
        )
    return made


def _fit(training: Training, run: Run, shown: People, done: int, total: int, every: int) -> None:
    """Trains from the step after `done` up to `total`; the base alone has nothing to train."""
    main, settings = training.accelerator.is_main_process, training.settings
    steps = range(done + 1, total + 1) if training.trains else range(0)
    looks = settings.validate_every
    if main and looks and not done:
        _validate(training, run, shown, 0)
    with LossLog(run, done + 1, settings.tracker, main) as log, bar() as progress:
        task = progress.add_task("training", total=max(total, done), completed=done)
        for step, batches in zip(steps, _ahead(training.load, steps), strict=True):
            losses = training.step(batches)
            if not math.isfinite(losses["loss"]):
                raise BolidError(f"the loss is {losses['loss']} at step {step}; lower [train] learning_rate")
            log.write(step, losses)
            if main and (step % every == 0 or step == total):
                run.checkpoint(step, training.method, training.optimization, training.identity)
            if main and looks and step % looks == 0 and step != total:
                with training.optimization.averaged():
                    _validate(training, run, shown, step)
            progress.update(task, advance=1, description=f"training, loss {losses['loss']:.4f}")


def _validate(training: Training, run: Run, shown: People, step: int) -> None:
    seed = training.seed
    validate(training.cache, training.method, training.unet, shown, run.folder / "validation", step, seed)


def _ahead(load: Callable[[int], list[Batch]], steps: Iterable[int]) -> Iterator[list[Batch]]:
    """What `load` gives for each step, read in a thread while the step before is trained."""
    with ThreadPoolExecutor(1) as reader:
        waiting: Future[list[Batch]] | None = None
        for step in steps:
            begun = reader.submit(load, step)
            if waiting:
                yield waiting.result()
            waiting = begun
        if waiting:
            yield waiting.result()

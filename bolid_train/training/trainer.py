"""`bolid train`: from the shards to a finished adapter. The training step is in `step.py`."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bolid_data import words
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest, Train
from bolid_data.paths import refuse_links
from bolid_data.progress import bar, note
from bolid_train.data import preflight
from bolid_train.data.batch import Batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.shard_dataset import People, ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.files import write_json
from bolid_train.methods import adapter, registry
from bolid_train.methods.adapter import run_folder
from bolid_train.methods.spec import MethodSpec
from bolid_train.settings import checked
from bolid_train.training.interrupt import deferred_interrupt
from bolid_train.training.report import read_held_out, write_report
from bolid_train.training.run import LossLog, TrainingRun
from bolid_train.training.step import Training, make_accelerator, training_features
from bolid_train.training.validation import ValidationPrompt, encode_prompts, validate, validation_people


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

    With the same manifest and shards, a run that was killed and resumed has the same losses as an uninterrupted one.
    Raises BolidError for an existing run, too little data or an unavailable base.
    """
    started_at = time.monotonic()
    settings, total = checked(manifest.train), manifest.train.steps if steps is None else steps
    spec = registry.resolve(settings.method)
    refuse_links(data)
    shards = ShardDataset(data / "shards")
    subject = spec.subject_of(settings)
    people = preflight.usable_people(shards, settings, subject=subject)
    people_to_validate = validation_people(shards, settings, people, subject)
    all_people = people
    if subject and subject.photos:
        # The cache deletes features not asked for, and other runs may need those of the photos that are left out.
        all_people = preflight.usable_people(shards, settings, subject=replace(subject, photos=()))
    start, settings = _start(data, spec, settings) if settings.start else (None, settings)
    manifest = manifest.model_copy(update={"train": settings})
    accelerator = make_accelerator(settings)
    main = accelerator.is_main_process
    report = preflight.examine(shards, settings, subject, spec.photos_per_person)
    if main:
        note(f"preflight: {report}")
        if spec.photos_per_person > 1 and (single := [name for name, photos in people.items() if len(photos) == 1]):
            note(
                f"preflight: {words.named(single)}: the only photo is both target and view; add photos, or it is copied"
            )
        if people_to_validate and people_to_validate.keys().isdisjoint(people):
            note(f"preflight: validation is on held-out people: {words.named(list(people_to_validate))}")
    with TrainingRun(run_folder(data, run or settings.method), resume, overwrite, main) as state:
        accelerator.wait_for_everyone()
        base = Base.resolve(settings, manifest.folder)
        cache = FeatureCache(data / "features", base, settings, training_features(settings, manifest.folder))
        cached = cache.fill(shards, people_to_validate | all_people, accelerator.device, accelerator)
        people, people_to_validate = (_intersection(selected, cached) for selected in (people, people_to_validate))
        training = Training(manifest, cache, people, total, accelerator)
        prompts = encode_prompts(settings.prompts, base, settings, accelerator.device, manifest.folder) if main else []
        held_out = people_to_validate if people_to_validate.keys().isdisjoint(people) else {}
        validation = Validation(training, state, people_to_validate, held_out, prompts)
        trained_on = _trained_on(shards, people)
        done = state.restore(training.method, training.optimization, training.identity)
        if not done:
            training.prepare(run_folder(data, settings.start) if settings.start else None)
        if main:
            broken = report.photos - sum(map(len, people.values()))
            write_json(asdict(report) | {"broken_photos": broken}, state.folder / "doctor.json")
            # Before the first step, so that unfinished runs have it, too.
            write_json({"trained_on": trained_on and asdict(trained_on)}, state.folder / "trained_on.json")
        seconds = _fit(training, state, validation, done, total, checkpoint_every or settings.checkpoint_every)
        history = state.read_losses()
        speed = training.speed(len(history) - done, seconds)
        if main:
            with training.optimization.averaged():
                training.finish()
                validation(max(total, done))
                adapter.publish(
                    state.folder, training.method, settings, base, len(history), people, data, start,
                    sum(map(len, people.values())), trained_on,
                )  # fmt: skip
                facts = {
                    "method": settings.method, "base": base.name, "steps": len(history), "people": len(people),
                    "photos": sum(map(len, people.values())), "preflight": report,
                    "photos per second": speed["photos_per_second"], "MFU": speed["mfu"] or "unknown",
                }  # fmt: skip
                page = write_report(state.folder, facts, history, read_held_out(validation.losses))
                note(f"train: curves and images: {page}; all images: {state.folder / 'validation'}")
        accelerator.wait_for_everyone()
    accelerator.end_training()  # without this, leaving the process group may hang
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
        "seconds": round(time.monotonic() - started_at, 2),
        "report": str(state.folder / "report.html"),
    }


@dataclass(frozen=True)
class Validation:
    """Looks at the adapter: images of some people, and the loss on people who are held out, if there are any."""

    training: Training
    run: TrainingRun
    people: People
    held_out: People
    prompts: Sequence[ValidationPrompt]

    def __call__(self, step: int) -> None:
        training, folder = self.training, self.run.folder / "validation"
        method, conditions, seed = training.method, training.guided_conditions, training.seed
        validate(training.cache, method, conditions, training.unet, self.people, folder, step, seed, self.prompts)
        if self.held_out and training.trains:
            losses = read_held_out(self.losses) | {step: training.held_out_loss(self.held_out)}
            write_json({str(number): losses[number] for number in sorted(losses) if number <= step}, self.losses)

    @property
    def losses(self) -> Path:
        """The held-out losses by step."""
        return self.run.folder / "held_out.json"


def _trained_on(shards: ShardDataset, people: People) -> adapter.TrainedOn | None:
    """The keyed ids of people and photos in the index; None for an index of version 1, which has none."""
    ids = shards.index.ids()
    if not ids:
        return None
    hashes = {photo.sha256 for photos in people.values() for photo in photos}
    return adapter.TrainedOn(
        shards.index.fingerprint,
        sorted(ids[person] for person in people if person in ids),
        sorted(ids[sha256] for sha256 in hashes if sha256 in ids),
    )


def _intersection(selected: People, cached: People) -> People:
    """The selected people and photos that have features in the cache."""
    cached_photos = {photo for photos in cached.values() for photo in photos}
    kept = {person: [photo for photo in photos if photo in cached_photos] for person, photos in selected.items()}
    return {person: photos for person, photos in kept.items() if photos}


def _start(data: Path, spec: MethodSpec, settings: Train) -> tuple[adapter.Adapter, Train]:
    """The run to start from, and the settings with what they inherit from it. Raises UsageError if its method, a width
    or its image encoder differs."""
    folder = run_folder(data, settings.start or "")
    start = adapter.read(folder)
    its = start.train_settings(folder / "adapter.json")
    continued = spec.continued(settings, its)
    if its.image_encoder != settings.image_encoder:
        name = f"image encoder '{its.image_encoder}'" if its.image_encoder else "the base's image encoder"
        raise UsageError(f"[train] start = '{settings.start}': that run used {name}; name the same image_encoder")
    return start, continued


def _fit(
    training: Training, run: TrainingRun, validation: Validation, done: int, total: int, checkpoint_every: int
) -> float:
    """Trains from the step after `done` up to `total`, and returns the seconds that it took, without validation; some
    methods have nothing to train. Ctrl-C ends it after a step, with a checkpoint."""
    main, settings = training.accelerator.is_main_process, training.settings
    steps = range(done + 1, total + 1) if training.trains else range(0)
    validate_every = settings.validate_every
    if main and validate_every and not done:
        validation(0)
    # Several processes could stop at different steps, and wait for each other.
    alone = training.accelerator.num_processes == 1
    started_at, paused = time.monotonic(), 0.0
    with (
        LossLog(run, done + 1, settings.tracker, main) as log,
        bar() as progress,
        deferred_interrupt(alone) as is_interrupted,
    ):
        task = progress.add_task("training", total=max(total, done), completed=done)
        for step, batches in zip(steps, _prefetch(training.load, steps), strict=True):
            losses = training.step(batches)
            if not math.isfinite(losses["loss"]):
                raise BolidError(f"the loss is {losses['loss']} at step {step}; lower [train] learning_rate")
            log.write(step, losses)
            if main and (step % checkpoint_every == 0 or step == total or is_interrupted()):
                run.checkpoint(step, training.method, training.optimization, training.identity)
            if is_interrupted():
                note(f"train: stopped after step {step}, with a checkpoint; --resume continues from it")
                raise KeyboardInterrupt
            if main and validate_every and step % validate_every == 0 and step != total:
                paused_at = time.monotonic()
                with training.optimization.averaged():
                    validation(step)
                paused += time.monotonic() - paused_at
            progress.update(task, advance=1, description=f"training, loss {losses['loss']:.4f}")
    return time.monotonic() - started_at - paused


def _prefetch(load: Callable[[int], list[Batch]], steps: Iterable[int]) -> Iterator[list[Batch]]:
    """Yields the batches of each step, loaded in a thread during the previous step."""
    with ThreadPoolExecutor(1) as executor:
        pending: Future[list[Batch]] | None = None
        for step in steps:
            submitted = executor.submit(load, step)
            if pending:
                yield pending.result()
            pending = submitted
        if pending:
            yield pending.result()

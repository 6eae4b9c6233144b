"""Training steps: time, photos per second, MFU and memory, by stage and batch size."""

import math
from collections.abc import Iterator
from itertools import cycle

import torch

from benchmarks.accelerator.page import Page, Table
from benchmarks.accelerator.timing import GB, Timing, free_memory, measure
from benchmarks.accelerator.workbench import MANIFESTS, SMALL_CLIP, Workbench
from bolid_data.errors import UsageError
from bolid_train.settings import load
from bolid_train.training.flops import estimate_mfu, peak_flops
from bolid_train.training.step import Training

COLUMNS = ("what", "batch", "ms", "photos/s", "MFU", "peak GB")
_BATCHES, _LARGEST = (4, 8, 16), 64
_LOADED = 4  # different batches
_RUNS = 6


def measure_diffusion(bench: Workbench, page: Page) -> None:
    """Stage 1, L_diff: batches of 4, 8, 16 and the largest that fits; against the bare passes of the UNet."""
    training = bench.training(bench.manifest())
    table = page.table(*COLUMNS)
    timings = {size: step_row(bench, table, training, "step, L_diff", size) for size in _BATCHES}
    fits = [(size, timing.peak) for size, timing in timings.items() if timing and timing.peak]
    if len(fits) > 1:
        _largest(bench, table, training, fits)
    _against_bare(bench, table, training)
    of_manifest = load(MANIFESTS / "sdxl.toml").train
    accumulation = 2 if bench.small else of_manifest.gradient_accumulation
    what = "step, L_diff, of as many photos as the manifest's"
    step_row(bench, table, training, what, of_manifest.batch_size, accumulation, runs=2)


def measure_checkpointing(bench: Workbench, page: Page) -> None:
    """The settings for 24 GB: gradient checkpointing, no EMA, and AdamW in 8 bits where it is installed."""
    optimizer = "adamw8bit"
    try:
        training = bench.training(bench.manifest(gradient_checkpointing=True, ema=0.0, optimizer=optimizer))
    except UsageError:
        optimizer = "adamw"
        training = bench.training(bench.manifest(gradient_checkpointing=True, ema=0.0, optimizer=optimizer))
    table = page.table(*COLUMNS)
    for batch_size in (2, 4, 8):
        step_row(bench, table, training, f"step, L_diff, checkpointing, {optimizer}, no EMA", batch_size, runs=3)


def measure_identity(bench: Workbench, page: Page) -> None:
    """Stage 2: L_diff, and L_id on a quarter of the rows, on images estimated in one step or made by Lightning; with
    gradient checkpointing as in the manifest, and without."""
    page.note(f"The keypoints of L_id are those of `{bench.detector}`, and L_CLIP is by `{SMALL_CLIP}`.")
    table = page.table(*COLUMNS)
    for checkpointing in (True, False):
        for pictures in ("lightning", "one-step"):
            objective = {"pictures": pictures, "share": 0.25}
            manifest = bench.manifest(identity=True, gradient_checkpointing=checkpointing, objective=objective)
            training = bench.training(manifest)
            what = f"step, L_diff and L_id of {pictures} images{', checkpointing' if checkpointing else ''}"
            for batch_size in (4, 8):
                step_row(bench, table, training, what, batch_size, runs=3)


def step_row(
    bench: Workbench,
    table: Table,
    training: Training,
    what: str,
    batch_size: int,
    accumulation: int = 1,
    runs: int = _RUNS,
) -> Timing | None:
    """A row for steps on batches in memory; None, and a row that says so, if they do not fit."""
    bench.resize(training, batch_size, accumulation)
    photos = batch_size * accumulation
    size = f"{accumulation} × {batch_size}" if accumulation > 1 else str(batch_size)
    try:
        timing = _steps(training, runs)
    except torch.OutOfMemoryError:
        timing = None
    if timing is None:
        _clear_gradients(training)
        table.add(what, size, "out of memory", "–", "–", "–")
    else:
        rate = photos / timing.seconds
        table.add(what, size, timing.milliseconds, f"{rate:.3g}", mfu(bench, training, rate), timing.memory)
    return timing


def mfu(bench: Workbench, training: Training, photos_per_second: float) -> str:
    """The share of the device's peak that training reaches."""
    flops = bench.flops(training)
    share = estimate_mfu(flops, photos_per_second, peak_flops(bench.device)) if flops else None
    return f"{share:.1%}" if share else "–"


def _steps(training: Training, runs: int) -> Timing:
    batches: Iterator = cycle([training.load(number) for number in range(1, _LOADED + 1)])

    def step() -> None:
        losses = training.step(next(batches))
        if not math.isfinite(losses["loss"]):
            raise ArithmeticError(f"the losses are {losses}")

    return measure(step, runs, warmup=2)


def _largest(bench: Workbench, table: Table, training: Training, fits: list[tuple[int, float]]) -> None:
    """The largest batch that fits, sought from where memory, which grows linearly, should end."""
    (first, first_peak), *_, (last, last_peak) = fits
    total = torch.cuda.mem_get_info(bench.device)[1] / GB
    size = min(_LARGEST, int(last + (total - last_peak) / ((last_peak - first_peak) / (last - first))))
    while size > last and not step_row(bench, table, training, "step, L_diff, the largest batch", size, runs=2):
        size -= max(1, size // 16)


def _against_bare(bench: Workbench, table: Table, training: Training) -> None:
    """What a step adds to the UNet's forward and backward pass: loading, the encoder, clipping, AdamW, EMA."""
    batch_size = _BATCHES[0]
    bench.resize(training, batch_size)
    [batch] = training.load(1)
    timing = measure(lambda: training.load(1), 3)
    table.add("loading a batch, which a thread does ahead", batch_size, timing.milliseconds, "–", "–", timing.memory)
    noisy, timesteps = batch.latents, batch.random.integers("timestep", 1000)
    with torch.no_grad():
        inputs, _ = training.method.condition(batch)

    def passes() -> None:
        training.denoiser(noisy, timesteps, inputs).square().mean().backward()

    timing = measure(passes, _RUNS, warmup=2)
    _clear_gradients(training)
    rate = batch_size / timing.seconds
    what = "the UNet's passes alone, forward and backward, adapter included"
    table.add(what, batch_size, timing.milliseconds, f"{rate:.3g}", mfu(bench, training, rate), timing.memory)


def _clear_gradients(training: Training) -> None:
    for value in training.method.parameters():
        value.grad = None
    free_memory()

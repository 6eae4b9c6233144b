"""`[train] mixed_precision`: each of its values trains, and what each costs."""

import math
from functools import partial

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import measure
from benchmarks.accelerator.workbench import Workbench
from bolid_data.errors import BolidError

_BATCH, _MAX_STEPS = 2, 12


def measure_precisions(bench: Workbench, page: Page) -> None:
    """A step in each precision: whether its loss and its gradients are finite, its time, its memory.

    In float16 the scaler starts high, skips steps whose gradients overflow and halves its scale, so the step may be a
    later one.
    """
    table = page.table("mixed_precision", "UNet", "loss", "gradient", "steps skipped", "ms", "peak GB")
    for name in ("no", "bf16", "fp16"):
        try:
            training = bench.training(bench.manifest(mixed_precision=name))
        except BolidError as error:
            table.add(name, f"refused: {error}", "–", "–", "–", "–", "–")
            continue
        bench.resize(training, _BATCH)
        steps = [training.step(training.load(1))]
        while len(steps) < _MAX_STEPS and not math.isfinite(steps[-1]["gradient"]):
            steps.append(training.step(training.load(len(steps) + 1)))
        if not all(math.isfinite(step["loss"]) for step in steps):
            page.note(f"In {name}, losses are not finite: {steps}")
        timing = measure(partial(training.step, training.load(1)), 2)
        dtype = str(training.unet.dtype).removeprefix("torch.")
        loss, gradient = (f"{steps[-1][term]:.6g}" for term in ("loss", "gradient"))
        table.add(name, dtype, loss, gradient, len(steps) - 1, timing.milliseconds, timing.memory)

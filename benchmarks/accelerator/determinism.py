"""Whether two runs of the same steps have the same losses, and what deterministic algorithms cost."""

from functools import partial

import torch

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import measure
from benchmarks.accelerator.workbench import Workbench
from bolid_train.training.optimizer import Optimization
from bolid_train.training.step import Training, use_deterministic_algorithms

_BATCH, _STEPS = 4, 3


def measure_determinism(bench: Workbench, page: Page) -> None:
    """Stage 1 and stage 2, as with `[train] deterministic` and without it."""
    table = page.table("stage", "deterministic", "losses of two runs", "ms a step", "peak GB")
    for name, identity in (("L_diff", False), ("L_diff and L_id", True)):
        training = bench.training(bench.manifest(identity=identity, ema=0.0))
        bench.resize(training, _BATCH)
        for deterministic in (False, True):
            # What the setting does before a run, without loading the base again.
            use_deterministic_algorithms(deterministic)
            try:
                first, second = _runs(training)
                timing = measure(partial(training.step, training.load(1)), 3)
            except RuntimeError as error:  # an operation without a deterministic algorithm
                table.add(name, "yes", f"refused: {str(error).splitlines()[0]}", "–", "–")
                continue
            finally:
                use_deterministic_algorithms(False)
            same = "equal" if first == second else f"differ: {first[-1]} and {second[-1]}"
            table.add(name, "yes" if deterministic else "no", same, timing.milliseconds, timing.memory)


def _runs(training: Training) -> list[list[dict[str, float]]]:
    """The losses of a few steps, twice from the same weights."""
    parameters = list(training.method.parameters())
    start = [value.detach().clone() for value in parameters]
    losses = []
    for _ in range(2):
        with torch.no_grad():
            for value, original in zip(parameters, start, strict=True):
                value.copy_(original)
                value.grad = None
        training.optimization = Optimization(parameters, training.settings, _STEPS, training.accelerator)
        losses.append([training.step(training.load(number)) for number in range(1, _STEPS + 1)])
    return losses

"""What a run does besides steps: validation images and checkpoints."""

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.timing import free_memory, peak_memory, synchronize
from benchmarks.accelerator.workbench import Workbench
from bolid_train.data import preflight
from bolid_train.training.run import TrainingRun
from bolid_train.training.trainer import Validation


def measure_run(bench: Workbench, page: Page) -> None:
    """A checkpoint after a step of stage 1, loading it, and the validation grid of four people and three prompts."""
    training = bench.training(bench.manifest())
    bench.resize(training, 4)
    training.step(training.load(1))
    table = page.table("what", "s", "GB on disk", "peak GB")
    with TrainingRun(bench.data / "runs" / "benchmark", False, True) as run:
        free_memory()
        seconds = _time(lambda: run.checkpoint(0, training.method, training.optimization, training.identity))
        table.add("a checkpoint", f"{seconds:.1f}", f"{_size(run.folder):.2f}", _peak())
        free_memory()
        seconds = _time(lambda: run.restore(training.method, training.optimization, training.identity))
        table.add("resuming from it", f"{seconds:.1f}", "–", _peak())
        people = preflight.usable_people(bench.shards, training.settings)
        validation = Validation(training, run, people, {}, [])
        free_memory()

        def validate() -> None:
            with training.optimization.averaged():
                validation(1)

        seconds = _time(validate)
        table.add("validation: 12 images in 10 steps with guidance, and 4 references", f"{seconds:.1f}", "–", _peak())


def _time(run: Callable[[], object]) -> float:
    synchronize()
    started_at = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - started_at


def _size(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e9


def _peak() -> str:
    peak = peak_memory()
    return "–" if peak is None else f"{peak:.1f}"

"""torch.compile of the UNet's transformer blocks: what it saves of a step, and what it takes first."""

import time

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.steps import COLUMNS, step_row
from benchmarks.accelerator.timing import synchronize
from benchmarks.accelerator.workbench import Workbench

_BATCH = 4


def measure_compiled(bench: Workbench, page: Page) -> None:
    """Stage 1 as it is, then with its blocks compiled for this one size."""
    training = bench.training(bench.manifest())
    table = page.table(*COLUMNS)
    step_row(bench, table, training, "step, L_diff, as it is", _BATCH)
    training.unet.compile_repeated_blocks(dynamic=False)
    started_at = time.perf_counter()
    training.step(training.load(1))
    synchronize()
    page.note(f"The first compiled step took {time.perf_counter() - started_at:.0f} s.")
    step_row(bench, table, training, "step, L_diff, transformer blocks compiled", _BATCH)
    bench.release()  # the blocks stay compiled

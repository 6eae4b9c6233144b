"""Measures training, generating and curating on this machine's accelerator and writes a page of results.

    python -m benchmarks.accelerator                            # SDXL's size, at most eight minutes
    python -m benchmarks.accelerator --small --minutes 4        # a rehearsal on a CPU
    python -m benchmarks.accelerator --only steps,sampling      # some parts

Nothing is downloaded: the base has random weights and the photos are drawn. The page is rewritten with every row; what
does not fit the time or the memory is named on it.
"""

import argparse
import os
import platform
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported

import diffusers
import torch

from benchmarks.accelerator import STARTED_AT
from benchmarks.accelerator.caching import measure_cache
from benchmarks.accelerator.card import measure_card
from benchmarks.accelerator.compiling import measure_compiled
from benchmarks.accelerator.curation import measure_curation
from benchmarks.accelerator.determinism import measure_determinism
from benchmarks.accelerator.kernels import measure_kernels
from benchmarks.accelerator.operators import measure_operators
from benchmarks.accelerator.page import Page
from benchmarks.accelerator.parts import Deadline, Part, run_parts
from benchmarks.accelerator.precisions import measure_precisions
from benchmarks.accelerator.runs import measure_run
from benchmarks.accelerator.sampling import measure_sampling
from benchmarks.accelerator.steps import measure_checkpointing, measure_diffusion, measure_identity
from benchmarks.accelerator.timing import free_memory
from benchmarks.accelerator.workbench import Workbench

RESULTS, REHEARSAL = Path("benchmarks/results/accelerator.md"), Path("benchmarks/accelerator/rehearsal.md")

_PARTS: dict[str, tuple[str, Callable[[Workbench, Page], None], float]] = {
    "card": ("The device", measure_card, 5),
    "cache": ("The feature cache", measure_cache, 40),
    "steps": ("Stage 1: L_diff", measure_diffusion, 60),
    "kernels": ("Kernels of a step", measure_kernels, 15),
    "run": ("Checkpoints and validation", measure_run, 45),
    "checkpointing": ("Gradient checkpointing", measure_checkpointing, 30),
    "sampling": ("Generating", measure_sampling, 40),
    "precisions": ("Precisions", measure_precisions, 40),
    "operators": ("Operators of a step", measure_operators, 30),
    "identity": ("Stage 2: L_diff and L_id", measure_identity, 75),
    "determinism": ("Determinism", measure_determinism, 45),
    "compile": ("torch.compile", measure_compiled, 45),
    "curation": ("Curation", measure_curation, 60),
}
"""Name, heading, what measures it and about how many seconds it needs at SDXL's size; the most wanted come first."""
_PREPARATION = 30
_SMALL_SCALE = 0.2  # of these seconds, on a narrow base

_SMALL = "This is a rehearsal on a narrow base, not a measurement of a card: only the counts mean anything."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a narrow base of SDXL's depth, for a CPU")
    parser.add_argument("--minutes", type=float, default=8.0, help="the time for all of it (default: 8)")
    parser.add_argument("--out", type=Path, help=f"the page to write (default: {RESULTS}; with --small {REHEARSAL})")
    parser.add_argument("--only", default=",".join(_PARTS), metavar="PARTS", help="of " + ", ".join(_PARTS))
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - _PARTS.keys():
        parser.error(f"--only: no part is called {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    if not arguments.small and not torch.cuda.is_available():
        parser.error("there is no accelerator; --small rehearses on a CPU")
    warnings.filterwarnings("ignore")
    deadline = Deadline(STARTED_AT + 60 * arguments.minutes)
    out = arguments.out or (REHEARSAL if arguments.small else RESULTS)
    page = Page(out, "On an accelerator", _introduction(arguments.small))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        bench = Workbench(Path(folder), arguments.small)
        scale = _SMALL_SCALE if arguments.small else 1.0
        parts = [Part("prepare", "Preparation", partial(_prepare, bench, page), _PREPARATION * scale)]
        for name in names:
            title, measure, seconds = _PARTS[name]
            parts.append(Part(name, title, partial(measure, bench, page), seconds * scale))
        run_parts(parts, page, deadline, free_memory)


def _introduction(small: bool) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    memory = f", {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB" if torch.cuda.is_available() else ""
    machine = f"{device}{memory}; {os.cpu_count()} CPU cores; Python {platform.python_version()}"
    libraries = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    command = f"`python -m benchmarks.accelerator {shlex.join(sys.argv[1:])}`".replace(" `", "`")
    lines = [_SMALL] if small else []
    lines.append(f"{machine}; {libraries}. {command}")
    lines.append("Times are medians. Memory is what torch had allocated at most. GB are 10⁹ bytes.")
    return "\n\n".join(lines)


def _prepare(bench: Workbench, page: Page) -> None:
    seconds = bench.prepare()
    size = sum(file.stat().st_size for file in bench.base_folder.rglob("*") if file.is_file()) / 1e9
    page.note(f"Base: {size:.2f} GB written in {seconds['base']:.0f} s. Photos: drawn in {seconds['photos']:.0f} s.")


if __name__ == "__main__":
    main()

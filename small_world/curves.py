"""Curves of finished runs as one picture: `python -m small_world.curves RUN… --out docs/curves.png`."""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

TERMS = {
    "diffusion": "L_diff",
    "identity": "L_id, weighted",
    "clip_text": "L_CLIP, weighted",
    "kl": "KL, weighted",
    "proportions": "read-out, weighted",
}
"""Terms of the loss that are drawn, with their titles."""

_SMOOTH = 0.98  # of the exponential average: single steps are mostly noise of timesteps


def draw_curves(runs: Iterable[Path], out: Path) -> None:
    """A panel for each term; runs by seeds of one name in one colour. Steps that a run's `losses.jsonl` leaves out are
    joined by lines."""
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    *axes, names = figure.subplots(2, 3).flat
    panels = dict(zip(TERMS, axes, strict=True))
    colours: dict[str, str] = defaultdict(lambda: f"C{len(colours)}")
    for run in runs:
        name = re.sub(r"-seed\d+$", "", run.name)
        label = None if name in colours else name
        for term, (steps, values) in _read(run).items():
            panels[term].plot(steps, _average(steps, values), color=colours[name], label=label, alpha=0.8)
    for term, panel in panels.items():
        panel.set(title=TERMS[term], xlabel="step")
        panel.grid(alpha=0.3)
    names.legend(*panels["diffusion"].get_legend_handles_labels(), loc="center")
    names.axis("off")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=96)


def _read(run: Path) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    lines = [json.loads(line) for line in (run / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {}
    for term in TERMS:
        points = [(line["step"], line[term]) for line in lines if term in line]
        if points:
            steps, values = np.array(points, dtype=np.float64).T
            found[term] = steps, values
    return found


def _average(steps: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponential average over steps, which starts as a plain mean."""
    smooth, total, weight = np.empty_like(values), 0.0, 0.0
    for i, gap in enumerate(np.diff(steps, prepend=steps[0] - 1)):
        decay = _SMOOTH**gap
        total, weight = decay * total + (1 - decay) * values[i], decay * weight + (1 - decay)
        smooth[i] = total / weight
    return smooth


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    given = parser.parse_args(arguments)
    draw_curves(given.runs, given.out)


if __name__ == "__main__":
    main()

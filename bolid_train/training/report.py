"""`report.html` of a run: one page with its curves, its last validation images and what to do with it."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bolid_data.atomic_io import write_text

_MAX_POINTS = 2000  # of a curve
_SMOOTHING = 0.05  # share of the steps over which curves are averaged

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }}
img, svg {{ max-width: 100%; height: auto }} code {{ background: #f3f3f3; padding: .1rem .3rem }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd }} code {{ background: #333 }}
svg {{ background: #fff }} }}
</style>
<h1>{title}</h1>
<table>{facts}</table>
<h2>Losses</h2>
<p>{losses}</p>
{curves}
<h2>Validation images</h2>
{images}
</html>
"""


def write_report(
    folder: Path, facts: Mapping[str, Any], history: Sequence[Mapping[str, float]], held_out: Mapping[int, float]
) -> Path:
    """Writes `report.html` to the run's folder and returns its path. It needs no other file and no network.

    Args:
        facts: what to say of the run, by name.
        history: the lines of `losses.jsonl`.
        held_out: L_diff on people who are not trained on, by step.
    """
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items()
    )
    grids = sorted((folder / "validation").glob("step-*.png"))
    page = _PAGE.format(
        title=html.escape(f"Run {folder.name}"),
        facts=rows,
        losses=_losses(held_out),
        curves=_curves(history, held_out) if history else "<p>This method trains nothing.</p>",
        images=_image(grids[-1]) if grids else "<p>None were made.</p>",
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _losses(held_out: Mapping[int, float]) -> str:
    text = "Terms are weighted and averaged over steps. Losses rank runs badly: compare the images below."
    if not held_out:
        return f"{text} Nobody is held out, so there is no held-out loss; give split <code>val</code> some people."
    first, last = held_out[min(held_out)], held_out[max(held_out)]
    return f"{text} L_diff on held-out people: {first:.4f} at step {min(held_out)}, {last:.4f} at step {max(held_out)}."


def _curves(history: Sequence[Mapping[str, float]], held_out: Mapping[int, float]) -> str:
    """A panel for each term, as SVG."""
    terms = [name for name in history[-1] if name != "step"]
    columns = min(3, len(terms))
    rows = -(-len(terms) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, term in zip(panels, terms, strict=False):
        steps, values = np.array([(line["step"], line[term]) for line in history if term in line]).T
        panel.plot(*_thinned(steps, _smooth(values)))
        if term == "diffusion" and held_out:
            panel.plot(list(held_out), list(held_out.values()), marker="o", markersize=3, label="held-out people")
            panel.legend(fontsize=7)
        panel.set_title(term, fontsize=9)
        panel.tick_params(labelsize=7)
    for panel in panels[len(terms) :]:
        panel.axis("off")
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _smooth(values: np.ndarray) -> np.ndarray:
    """The exponential average, which starts as a plain mean."""
    decay = 1 - 1 / max(1.0, _SMOOTHING * len(values))
    smooth, total, weight = np.empty_like(values), 0.0, 0.0
    for number, value in enumerate(values):
        total, weight = decay * total + value, decay * weight + 1
        smooth[number] = total / weight
    return smooth


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.unique(np.linspace(0, len(steps) - 1, _MAX_POINTS).astype(int))
    return steps[chosen], values[chosen]


def _image(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<p>{path.stem}</p><img alt="Validation images" src="data:image/png;base64,{content}">'


def read_held_out(path: Path) -> dict[int, float]:
    """Held-out losses by step; none for a file that is missing or damaged."""
    try:
        return {int(step): float(loss) for step, loss in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

"""The table: means with their intervals, as JSON for programs and Markdown for people."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap
from torch import Tensor

from bolid_data.atomic_io import write_text
from bolid_train.files import write_json

COLUMNS = {
    "body_sim": "↑",
    "limb_error": "% ↓",
    "clip_t": "↑",
    "clip_i": "↑",
    "pose_copy": "↓",
    "clothes_leak": "↓",
    "fid": "↓",
    "is": "↑",
    "fd_small": "↓",
    "is_small": "↑",
    "failures": "% ↓",
    "seconds": "↓",
}
"""Metric → its unit, and which way is better; those that were not measured have no column."""

_RESAMPLES = 2000


def make_rows(
    method: str,
    views: int,
    of: str,
    scores: Mapping[str, Tensor],
    quality: Mapping[str, dict[str, Any]] | None = None,
    seeds: int = 1,
) -> list[dict[str, Any]]:
    """One row a metric, in the order of the columns.

    Args:
        of: names the set of people.
        scores: metric → (P,), a value a person, NaN where there is none.
        quality: metric of all pictures together → its interval.
        seeds: the number of runs that the values are means over.
    """
    found = {name: interval(values) for name, values in scores.items()} | dict(quality or {})
    about = {"method": method, "views": views, "set": of}
    return [{**about, "metric": name, **found[name], "seeds": seeds} for name in COLUMNS if name in found]


def interval(values: Tensor) -> dict[str, Any]:
    """Mean of a value a person (P,), its 95 % bootstrap interval over people, and how many people it is of; None where
    the value cannot be told, or no interval be given."""
    known = values[~values.isnan()].double().numpy()
    if len(known) < 2:
        mean = float(known[0]) if len(known) else None
        return {"mean": mean, "low": None, "high": None, "people": len(known)}
    # Percentiles: BCa, the default, has none for people who are all alike.
    found = bootstrap((known,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=0).confidence_interval
    return {"mean": float(known.mean()), "low": float(found.low), "high": float(found.high), "people": len(known)}


def write_table(
    rows: Sequence[dict[str, Any]], differences: Sequence[dict[str, Any]], notes: Iterable[str], folder: Path
) -> None:
    """Writes `table.json`, the rows; `differences.json`, those between methods; and `table.md`, a line for each method
    and number of views, and the differences below."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(rows, folder / "table.json")
    write_json(differences, folder / "differences.json")
    text = "\n\n".join([_of_methods(rows), *([_of_differences(differences)] if differences else []), *notes])
    write_text(folder / "table.md", f"{text}\n")


def _of_methods(rows: Sequence[dict[str, Any]]) -> str:
    lines: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row["set"], row["method"], row["views"]), {})[row["metric"]] = _cell(row)
    shown = {name: better for name, better in COLUMNS.items() if any(row["metric"] == name for row in rows)}
    return _markdown(
        ["set", "method", "photos", *(f"{name} {better}" for name, better in shown.items())],
        [[*map(str, key), *(cells.get(name, "") for name in shown)] for key, cells in lines.items()],
    )


def _of_differences(rows: Sequence[dict[str, Any]]) -> str:
    return _markdown(
        ["set", "photos", "method", "minus", "difference of body_sim, person by person"],
        [[row["set"], str(row["views"]), row["method"], row["minus"], _cell(row)] for row in rows],
    )


def _markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *lines])


def _cell(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return "–"
    around = "" if row["low"] is None else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['mean']:.3g}{around}"

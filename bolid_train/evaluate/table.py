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
"""Metric → its unit, and which direction is better; metrics that were not measured have no column."""

_RESAMPLES = 2000


def make_rows(
    method: str,
    views: int,
    set_name: str,
    scores: Mapping[str, Tensor],
    quality: Mapping[str, dict[str, Any]] | None = None,
    seeds: int = 1,
) -> list[dict[str, Any]]:
    """One row per metric, in the order of the columns.

    Args:
        set_name: of the set of people.
        scores: metric → (P,), a value per person, NaN for none.
        quality: metric of all images → its interval.
        seeds: the number of runs over which the values are means.
    """
    intervals = {name: interval(values) for name, values in scores.items()} | dict(quality or {})
    row = {"method": method, "views": views, "set": set_name}
    return [{**row, "metric": name, **intervals[name], "seeds": seeds} for name in COLUMNS if name in intervals]


def interval(values: Tensor) -> dict[str, Any]:
    """Mean of values per person (P,), its 95 % bootstrap interval over people, and the number of people. None for the
    mean of no values, and for the interval of fewer than two; NaN does not count."""
    present = values[~values.isnan()].double().numpy()
    if len(present) < 2:
        mean = float(present[0]) if len(present) else None
        return {"mean": mean, "low": None, "high": None, "people": len(present)}
    # Percentiles, because BCa, the default, gives no interval for equal values.
    ends = bootstrap((present,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=0).confidence_interval
    return {"mean": float(present.mean()), "low": float(ends.low), "high": float(ends.high), "people": len(present)}


def write_table(
    rows: Sequence[dict[str, Any]], differences: Sequence[dict[str, Any]], notes: Iterable[str], folder: Path
) -> None:
    """Writes the rows to `table.json`, the differences between methods to `differences.json`, and both to `table.md`,
    where each method and number of views is one line."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(rows, folder / "table.json")
    write_json(differences, folder / "differences.json")
    text = "\n\n".join(
        [_rows_as_markdown(rows), *([_differences_as_markdown(differences)] if differences else []), *notes]
    )
    write_text(folder / "table.md", f"{text}\n")


def _rows_as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row["set"], row["method"], row["views"]), {})[row["metric"]] = _cell(row)
    columns = {name: better for name, better in COLUMNS.items() if any(row["metric"] == name for row in rows)}
    return _markdown(
        ["set", "method", "photos", *(f"{name} {better}" for name, better in columns.items())],
        [[*map(str, key), *(cells.get(name, "") for name in columns)] for key, cells in lines.items()],
    )


def _differences_as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    return _markdown(
        ["set", "photos", "method", "minus", "difference of body_sim, person by person"],
        [[row["set"], str(row["views"]), row["method"], row["minus"], _cell(row)] for row in rows],
    )


def _markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])


def _cell(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return "–"
    ends = "" if row["low"] is None else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['mean']:.3g}{ends}"

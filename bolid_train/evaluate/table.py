"""The table: means with their intervals, as JSON for programs and Markdown for people."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap
from torch import Tensor

from bolid_train.files import write_json

COLUMNS = {
    "body_sim": "↑",
    "limb_error": "% ↓",
    "clip_t": "↑",
    "clip_i": "↑",
    "pose_copy": "↓",
    "clothes_leak": "↓",
    "failures": "% ↓",
    "seconds": "↓",
}
"""Metric → its unit, and which way is better."""

_RESAMPLES = 2000


def make_rows(method: str, views: int, of: str, scores: dict[str, Tensor]) -> list[dict[str, Any]]:
    """One row a metric; scores: metric → (P,), a value a person, NaN where there is none. `of` names the set."""
    return [
        {"method": method, "views": views, "set": of, "metric": name, **interval(values), "seeds": 1}
        for name, values in scores.items()
    ]


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


def write_table(rows: Sequence[dict[str, Any]], notes: Iterable[str], folder: Path) -> None:
    """Writes `table.json`, the rows, and `table.md`, a line for each method and number of views."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(rows, folder / "table.json")
    (folder / "table.md").write_text("\n".join([*_markdown(rows), "", *notes, ""]), encoding="utf-8")


def _markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row["set"], row["method"], row["views"]), {})[row["metric"]] = _cell(row)
    heads = [f"{name} {better}" for name, better in COLUMNS.items()]
    return [
        f"| set | method | photos | {' | '.join(heads)} |",
        f"| --- | --- | --- |{' --- |' * len(heads)}",
        *(
            f"| {of} | {method} | {views} | {' | '.join(cells.get(name, '') for name in COLUMNS)} |"
            for (of, method, views), cells in lines.items()
        ),
    ]


def _cell(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return "–"
    around = "" if row["low"] is None else f" [{row['low']:.3g}, {row['high']:.3g}]"
    return f"{row['mean']:.3g}{around}"

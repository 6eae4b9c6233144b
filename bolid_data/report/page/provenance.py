"""What photos were measured and captioned by, and decided on: captions, models with their licences, thresholds,
decisions by hand."""

import re
from typing import Any

from bolid_data.catalog.collection import caption_summary, model_use
from bolid_data.manifest import Filter
from bolid_data.report.page.charts import columns
from bolid_data.report.page.material import Material, Section

_MAX_DECISIONS = 100

_LICENCES = (
    (r"(^|[^a-z])nc([^a-z]|$)|non-?commercial|research", "restricted",
     "Not for commercial use. Photos that it chose and captions that it wrote may inherit that: ask first."),
    (r"^agpl", "copyleft",
     "Whoever hands on or serves the weights has to offer the source of what uses them, under the same licence."),
    (r"^l?gpl", "copyleft", "Whoever hands on the weights does so under the same licence."),
    (r"openrail|^llama|^gemma", "restricted", "Free for the uses that its licence allows; read the list in it."),
    (r"^(mit|bsd|apache|cc0|unlicense|isc)", "free", "Free for any use; its notice goes with the weights."),
    (r"^the site's own", "site", "Not a model's weights: what the photos of a host share. It belongs to the site."),
    (r"", "unknown", "BoLID does not know it: read the model's own page before you publish or sell anything."),
)  # fmt: skip
"""Patterns of licences, with a class and what the licence means; the first that matches counts."""


def captions(material: Material) -> Section | None:
    summary = caption_summary(material.dataset.catalog)
    if not summary.authors:
        return None
    lengths = dict(summary.lengths)
    every = range(min(lengths), max(lengths) + 1) if lengths else []
    words = [(word, number, round(100 * number / summary.chosen)) for word, number in summary.words]
    return Section(
        "captions", "Captions",
        {
            "authors": summary.authors, "chosen": summary.chosen, "words": words,
            "kept": material.status["total"]["kept"],
            "lengths": columns([(str(n), lengths.get(n, 0)) for n in every], "Captions by their number of words"),
            "any_length": bool(lengths),
        },
        f"{summary.chosen:,}",
    )  # fmt: skip


def models(material: Material) -> Section | None:
    rows = model_use(material.dataset.catalog)
    for row in rows:
        row["kind"], row["meaning"] = licence_meaning(row["licence"])
    rows = [row for row in rows if row["current"] or row["measured"] or row["captioned"]]
    return Section("models", "Models and licences", {"rows": rows}, str(len(rows))) if rows else None


def licence_meaning(licence: str | None) -> tuple[str, str]:
    """The class of a licence, and what it means in a sentence.

    >>> licence_meaning("CC-BY-NC-4.0")[0], licence_meaning("MIT")[0], licence_meaning("AGPL-3.0")[0]
    ('restricted', 'free', 'copyleft')
    """
    return next((kind, text) for pattern, kind, text in _LICENCES if re.search(pattern, (licence or "").lower()))


def settings(material: Material) -> Section:
    """All thresholds of the last judgement, or of the manifest where there was none."""
    thresholds = material.overview.thresholds if material.overview else material.manifest.filter
    return Section("settings", "Settings", {"rows": threshold_rows(thresholds), "judged": bool(material.overview)})


def threshold_rows(thresholds: Filter) -> list[dict[str, Any]]:
    fields = type(thresholds).model_fields
    return [
        {"key": key, "value": shown(value), "default": shown(fields[key].default), "text": fields[key].description,
         "changed": value != fields[key].default}
        for key, value in thresholds.model_dump().items()
    ]  # fmt: skip


def shown(value: Any) -> str:
    """A threshold's value, as in a manifest."""
    if value is None:
        return "off"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def decisions(material: Material) -> Section | None:
    log = material.dataset.catalog.decisions.log()
    if not log:
        return None
    in_force = [entry for entry in log if not entry["undone"] and entry["what"] != "undo"]
    return Section(
        "decisions", "Decisions by hand",
        {"log": log[::-1][:_MAX_DECISIONS], "number": len(log), "in_force": len(in_force)}, f"{len(in_force):,}",
    )  # fmt: skip

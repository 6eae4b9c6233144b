"""People: how many of their photos are kept, which framings and facings these cover, and what is missing."""

from typing import Any

from bolid_data.report.page.material import FACINGS, FRAMINGS, MAX_PEOPLE, Material, Section
from bolid_data.report.page.thumbnails import PORTRAIT

_REASONS = 4
"""Reasons named for a person; the rest are counted together."""


def people(material: Material) -> Section | None:
    everyone, shown = material.status["people"], material.people
    if not everyone:
        return None
    portraits = material.overview.portraits if material.overview else {}
    material.thumbnails.make(portraits.values(), PORTRAIT)
    most = max([1, *(count for row in everyone for count in row["views"].values())])
    total = material.status["total"]
    minimum = material.overview.thresholds.min_photos_per_person if material.overview else 0
    return Section(
        "people", "People",
        {
            "rows": [_row(row, material, portraits, most) for row in shown],
            "total": {"kept": total["kept"], "stored": total["stored"], "grid": _grid(total["views"], 0)},
            "framings": [framing.replace("_", " ") for framing in FRAMINGS],
            "facings": FACINGS,
            "of": len(everyone),
            "cut": len(shown) < len(everyone),
            "most": MAX_PEOPLE,
            "minimum": minimum,
        },
        f"{len(everyone):,}",
    )  # fmt: skip


def _row(row: dict[str, Any], material: Material, portraits: dict[str, str], most: int) -> dict[str, Any]:
    reasons = sorted(row["reasons"].items(), key=lambda item: (-item[1], item[0]))
    named = [(material.words(reason), number) for reason, number in reasons[:_REASONS]]
    sha256 = portraits.get(row["person"])
    return {
        "person": row["person"], "name": row["name"] if row["name"] != row["person"] else None, "state": row["state"],
        "kept": row["kept"], "stored": row["stored"], "listed": row["listed"], "failed": row["failed"],
        "share": 100 * row["kept"] / row["stored"] if row["stored"] else 0,
        "portrait": sha256 and material.thumbnails.get(sha256, PORTRAIT),
        "grid": _grid(row["views"], most),
        "missing": [view.replace("_", " ") for view in row["missing_views"]],
        "reasons": named, "more_reasons": sum(number for _, number in reasons[_REASONS:]),
    }  # fmt: skip


def _grid(views: dict[str, int], most: int) -> list[list[dict[str, Any]]]:
    """Rows of framings with a cell for each facing: its number, and how strongly it is coloured, from 0 to 1."""
    top = most or max([1, *views.values()])
    return [
        [
            {"number": (count := views.get(f"{framing} {facing}", 0)), "heat": round((count / top) ** 0.5, 3)}
            for facing in FACINGS
        ]
        for framing in FRAMINGS
    ]

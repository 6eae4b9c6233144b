"""Where photos come from: hosts, failures, formats and sizes; marks of sites; consent, opt-outs and removals."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from bolid_data.catalog.collection import collection, opt_outs
from bolid_data.printable import one_line
from bolid_data.report.page.charts import columns
from bolid_data.report.page.material import Material, Section

_MARK = 220
"""Longest side of a mark's picture, in pixels."""
_MAX_MARKS = 24
_MAX_BASES, _MAX_NAMED = 50, 100


def crawl(material: Material) -> Section:
    collected = collection(material.dataset.catalog)
    return Section(
        "crawl", "Collection",
        vars(collected) | {
            "size_chart": columns(collected.sizes, f"Photos by megapixels, of {collected.photos}"),
            "more_hosts": collected.host_count - len(collected.hosts),
        },
        f"{collected.photos:,} photos",
    )  # fmt: skip


def site_marks(material: Material) -> Section | None:
    """Marks by host, each with its picture and how many photos show it; and hosts that have none."""
    catalog = material.dataset.catalog
    groups = catalog.site_marks.groups_with_marks()
    if not groups:
        return None
    limit = material.overview.thresholds.max_site_mark if material.overview else material.manifest.filter.max_site_mark
    shown = catalog.site_marks.shown_by(limit)
    pictures = {mark.model.id: mark for mark in catalog.site_marks.marks()[:_MAX_MARKS]}
    marks: list[dict[str, Any]] = []
    for group in groups:
        for model in group["marks"]:
            mark = pictures.get(model)
            picture = mark and mark.picture and material.thumbnails.encode(mark.picture, _MARK)
            scored, above = shown.get(model, (0, 0))
            marks.append({"host": group["host"], "side": _side(group["size_group"]), "photos": group["photos"],
                          "model": model, "picture": picture, "scored": scored, "above": above})  # fmt: skip
    unmarked = sorted({group["host"] for group in groups} - {mark["host"] for mark in marks})
    return Section("site_marks", "Site marks", {"marks": marks, "unmarked": unmarked, "limit": limit}, str(len(marks)))


def _side(size_group: int) -> int:
    """The longest side in the middle of a size group, in pixels."""
    return round(2 ** (size_group / 2))


def _bases(material: Material) -> dict[str, Any]:
    """How many people each record of `[consent]` holds for, and who may not be published."""
    recorded, today = material.manifest.consent, datetime.now(UTC).date()
    people = [row["person"] for row in material.status["people"] if row["kept"]]
    without = [person for person in people if recorded.of(person).problem(today)]
    bases = Counter(recorded.of(person) for person in people if person not in without)
    return {
        "bases": [vars(basis) | {"people": count} for basis, count in bases.most_common(_MAX_BASES)],
        "more_bases": max(0, len(bases) - _MAX_BASES),
        "without_basis": without[:_MAX_NAMED], "more_without": max(0, len(without) - _MAX_NAMED),
    }  # fmt: skip


def consent(material: Material) -> Section:
    """The recorded basis of the people with kept photos, and opt-outs and removals, by their number: who was forgotten
    is named nowhere."""
    removed = Counter(material.dataset.removed().why.values())
    stale = material.status["stale"]
    return Section(
        "consent", "Consent",
        _bases(material) | {
            "opt_outs": [row | {"text": one_line(row["text"])[:200]} for row in opt_outs(material.dataset.catalog)],
            "removed": dict(removed),
            "withdrawn": material.funnel["reasons"],
            "stale": stale,
        },
    )  # fmt: skip

"""What other thresholds, or another dataset, would keep: the photos that differ, with the reasons of both sides."""

from typing import Any

from bolid_data.manifest import Filter
from bolid_data.report.page.material import UNSHOWN, Material, Section, short_name
from bolid_data.report.page.provenance import shown
from bolid_data.report.page.samples import signed

MAX_PICTURES = 96
MAX_LISTED = 1000
_MAX_PEOPLE = 100


def differences(material: Material) -> Section | None:
    if material.other is None:
        return None
    comparison = material.other.comparison
    gained = [photo for photo in comparison.photos if photo["other"]["kept"]]
    lost = [photo for photo in comparison.photos if not photo["other"]["kept"]]
    # Where one side has few, the other one has the room.
    half = MAX_PICTURES // 2
    most_gained = max(half, MAX_PICTURES - len(lost))
    most_lost = MAX_PICTURES - min(most_gained, len(gained))
    return Section(
        "differences", "Comparison",
        {
            "other": material.other.name,
            "comparison": comparison,
            "gained_by": [(material.words(reason), number) for reason, number in comparison.gained_by.items()],
            "lost_by": [(material.words(reason), number) for reason, number in comparison.lost_by.items()],
            "thresholds": changes(material),
            "people": comparison.people[:_MAX_PEOPLE],
            "more_people": max(0, len(comparison.people) - _MAX_PEOPLE),
            "gained": _figures(material, gained, most_gained), "lost": _figures(material, lost, most_lost),
            "listed": [_listed(material, photo) for photo in comparison.photos[:MAX_LISTED]],
            "more": max(0, len(comparison.photos) - MAX_LISTED),
        },
        f"{len(comparison.photos):,} photos differ",
    )  # fmt: skip


def changes(material: Material) -> list[tuple[str, str, str]]:
    """Thresholds that differ: key, here, there."""
    if material.other is None or material.other.thresholds is None or material.overview is None:
        return []
    here, there = material.overview.thresholds.model_dump(), material.other.thresholds.model_dump()
    return [(key, shown(here[key]), shown(there[key])) for key in Filter.model_fields if here[key] != there[key]]


def _figures(material: Material, photos: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Photos to show: those of every person in turn, so that one with many does not fill the sheet."""
    turns: dict[str, int] = {}
    ranked = []
    for photo in sorted(photos, key=lambda photo: photo["sha256"]):
        turn = turns[photo["person"]] = turns.get(photo["person"], 0) + 1
        ranked.append((turn, photo))
    chosen = [photo for _, photo in sorted(ranked, key=lambda item: (item[0], item[1]["person"]))[:most]]
    material.thumbnails.make(photo["sha256"] for photo in chosen if photo["file"] and _may_be_shown(photo))
    return [_listed(material, photo) | {"picture": material.thumbnails.get(photo["sha256"])} for photo in chosen]


def _may_be_shown(photo: dict[str, Any]) -> bool:
    return not {*UNSHOWN} & {*photo["here"]["reasons"], *photo["other"]["reasons"]}


def _listed(material: Material, photo: dict[str, Any]) -> dict[str, Any]:
    return {
        "person": photo["person"], "sha256": photo["sha256"], "file": short_name(photo["file"]),
        "here": _side(material, photo["here"]), "other": _side(material, photo["other"]),
    }  # fmt: skip


def _side(material: Material, side: dict[str, Any]) -> str:
    """A side's verdict in words, with margins."""
    if side["kept"] is None:
        return "not there"
    margins = side["margins"]
    reasons = (
        f"{material.words(reason)} {signed(margins[reason])}" if reason in margins else material.words(reason)
        for reason in side["reasons"]
    )
    return "kept" if side["kept"] else f"out: {', '.join(reasons)}"

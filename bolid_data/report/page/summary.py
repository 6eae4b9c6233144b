"""The head of the page: what the dataset is, what is stale or left to do, and the funnel."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bolid_data.lockfile import local_lock
from bolid_data.report import show
from bolid_data.report.page.material import Material, Section
from bolid_data.weights import file_sha256


def summary(material: Material) -> Section:
    status, funnel = material.status, _funnel(material)
    dataset = material.dataset
    return Section(
        "summary", "Funnel",
        {
            "funnel": funnel,
            "totals": status["total"],
            "people": len(status["people"]),
            "with_photos": sum(1 for row in status["people"] if row["kept"]),
            "lock": file_sha256(dataset.lock) if dataset.lock.is_file() else None,
            "locked": _locked(material),
            "stale": status["stale"],
            "decisions": status["decisions"],
            "left": show.steps_left(status),
            "changed": changed_thresholds(material),
        },
    )  # fmt: skip


def written_at() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def bolid_version() -> str:
    try:
        return version("bolid")
    except PackageNotFoundError:  # not installed, as in a checkout
        return ""


def changed_thresholds(material: Material) -> list[tuple[str, Any, Any]]:
    """Thresholds of the manifest that differ from those of the last judgement: key, judged by, now."""
    if not material.overview:
        return []
    judged, now = material.overview.thresholds.model_dump(), material.manifest.filter.model_dump()
    return [(key, judged[key], now[key]) for key in now if judged[key] != now[key]]


def _funnel(material: Material) -> list[dict[str, Any]]:
    """For each reason, in the order of the rules, the photos that have it and those left after it."""
    if not material.overview:
        return []
    counts = material.funnel
    left, rows = counts["photos"], []
    for reason, photos in counts["reasons"].items():
        left -= counts["leaving"][reason]
        rows.append({"reason": reason, "photos": photos, "leaving": counts["leaving"][reason], "left": left})
    return rows


def _locked(material: Material) -> dict[str, Any] | None:
    """How many photos and shards the lock pins; None without one that can be read."""
    try:
        lock = local_lock(material.dataset.lock)
    except FileNotFoundError:
        return None
    if lock is None:
        return None
    return {"samples": sum(shard["samples"] for shard in lock["shards"]), "shards": len(lock["shards"])}

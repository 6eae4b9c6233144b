"""Counterfactuals: which single threshold would turn a verdict. Each is tried at the values where the facts change."""

from collections.abc import Iterator, Sequence
from typing import Any

from bolid_data.curate.judge.rules import RULES
from bolid_data.manifest import Filter

STEP = 1e-4
"""Measurements are stored to four digits; a threshold this far from a measurement lies on its other side."""


def alternatives(thresholds: Filter, facts: dict[str, Any], measured: dict[str, Any]) -> list[Filter]:
    """Thresholds that differ from the current ones in one key and may turn this photo's verdict; `measured` is its row
    of the ledger."""
    filters = []
    for key, values in _candidates(facts, measured).items():
        current = getattr(thresholds, key)
        if current is None or current is False:  # the rule is off
            continue
        for value in sorted({round(value, 4) for value in values}):
            if value != current and _allowed(key, value):
                filters.append(thresholds.model_copy(update={key: value}))
    return filters


def nearest_counterfactuals(
    thresholds: Filter, current: Sequence[dict[str, Any]], filters: Sequence[Filter], judged: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """For each person and each threshold that turns the verdict, the nearest value that does, smallest changes first.

    `current` are the judgements by `thresholds`, `judged` those by the alternatives `filters`.
    """
    kept = {row["person"]: not row["reasons"] for row in current}
    nearest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in judged:
        if (not row["reasons"]) == kept[row["person"]] or not row["complete"]:
            continue
        key, old, new = _difference(thresholds, filters[row["judgement"]])
        change = {"person": row["person"], "threshold": key, "from": old, "to": new, "kept": not row["reasons"]}
        best = nearest.setdefault((row["person"], key), change)
        if abs(new - old) < abs(best["to"] - old):
            nearest[row["person"], key] = change
    return sorted(nearest.values(), key=lambda change: (change["person"], _relative_size(change)))


def _candidates(facts: dict[str, Any], measured: dict[str, Any]) -> dict[str, list[float]]:
    """For each threshold, the values around this photo's facts and detections."""
    points: dict[str, list[float]] = {}
    for rule in RULES:
        value = facts[rule.fact]
        if value is None or rule.threshold not in Filter.model_fields:
            continue
        step = 1 if isinstance(value, int) else STEP
        points.setdefault(rule.threshold, []).extend((value - step, value, value + step))
    scores = [detection["score"] for kind in ("bodies", "faces") for detection in measured[kind] or []]
    points["min_confidence"] = list(_around(scores))
    points["min_face_confidence"] = list(_around([face["score"] for face in measured["faces"] or []]))
    confidences = sorted(measured["confidences"] or [], reverse=True)
    required = facts["limit_min_keypoints"]  # this many must be visible: the last of them decides
    points["min_keypoint_confidence"] = list(_around(confidences[int(required) - 1 :][:1] if required else []))
    for kind in ("bodies", "faces"):
        areas = sorted((detection["area"] for detection in measured[kind] or []), reverse=True)
        points.setdefault("min_prominence", []).extend(_around([area / areas[0] for area in areas[1:] if areas[0] > 0]))
    bodies = sorted(measured["bodies"] or [], key=lambda body: -body["area"])
    sharp = bodies[0]["sharpness"] if bodies else None
    ratios = [body["sharpness"] / sharp for body in bodies[1:] if sharp and body["sharpness"] is not None]
    points["min_relative_sharpness"] = list(_around(ratios))
    points["min_background_prominence"] = list(points["min_prominence"])
    return points


def _around(values: Sequence[float]) -> Iterator[float]:
    for value in values:
        yield from (round(value, 4), round(value + STEP, 4))


def _allowed(key: str, value: float) -> bool:
    """Whether a manifest may set this value."""
    try:
        Filter.model_validate({key: value})
    except ValueError:
        return False
    return True


def _difference(current: Filter, other: Filter) -> tuple[str, float, float]:
    for key in Filter.model_fields:
        if getattr(current, key) != getattr(other, key):
            return key, getattr(current, key), getattr(other, key)
    raise AssertionError("every alternative differs in one threshold")


def _relative_size(change: dict[str, Any]) -> float:
    """The size of a change relative to the threshold."""
    return abs(change["to"] - change["from"]) / max(abs(change["from"]), 1e-9)

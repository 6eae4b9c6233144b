"""Which single threshold would turn a verdict: each is tried at the values where this photo's facts change."""

from collections.abc import Iterator, Sequence
from typing import Any

from bolid_data.curate.judge.rules import RULES
from bolid_data.manifest import Filter

STEP = 1e-4
"""Measurements are stored to four digits, so a threshold this far from one lies on its other side."""


def alternatives(thresholds: Filter, facts: dict[str, Any], seen: dict[str, Any]) -> list[Filter]:
    """Thresholds that differ from the present ones in one key, by which this photo may come out otherwise."""
    turned = []
    for key, values in _turning_points(facts, seen).items():
        now = getattr(thresholds, key)
        if now is None or now is False:  # a rule that is off
            continue
        for value in sorted({round(value, 4) for value in values}):
            if value != now and _allowed(key, value):
                turned.append(thresholds.model_copy(update={key: value}))
    return turned


def nearest_turns(
    thresholds: Filter, now: Sequence[dict[str, Any]], others: Sequence[Filter], then: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Per person and threshold that turns the verdict, its nearest value that does, the smallest changes first."""
    kept = {row["person"]: not row["reasons"] for row in now}
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in then:
        other = others[row["judgement"]]
        if (not row["reasons"]) == kept[row["person"]] or not row["complete"]:
            continue
        key, present, value = _difference(thresholds, other)
        turn = {"person": row["person"], "threshold": key, "from": present, "to": value, "kept": not row["reasons"]}
        before = best.setdefault((row["person"], key), turn)
        if abs(value - present) < abs(before["to"] - present):
            best[row["person"], key] = turn
    return sorted(best.values(), key=lambda turn: (turn["person"], _change(turn)))


def _turning_points(facts: dict[str, Any], seen: dict[str, Any]) -> dict[str, list[float]]:
    points: dict[str, list[float]] = {}
    for rule in RULES:
        value = facts[rule.fact]
        if value is None or rule.threshold not in Filter.model_fields:
            continue
        step = 1 if isinstance(value, int) else STEP
        points.setdefault(rule.threshold, []).extend((value - step, value, value + step))
    scores = [thing["score"] for kind in ("bodies", "faces") for thing in seen[kind] or []]
    points["min_confidence"] = list(_around(scores))
    points["min_face_confidence"] = list(_around([face["score"] for face in seen["faces"] or []]))
    confidences = sorted(seen["confidences"] or [], reverse=True)
    wanted = facts["limit_min_keypoints"]  # so many must be visible: the last of them decides
    points["min_keypoint_confidence"] = list(_around(confidences[int(wanted) - 1 :][:1] if wanted else []))
    areas = [sorted((thing["area"] for thing in seen[kind] or []), reverse=True) for kind in ("bodies", "faces")]
    points["min_prominence"] = list(_around([part / own[0] for own in areas for part in own[1:] if own[0] > 0]))
    return points


def _around(values: Sequence[float]) -> Iterator[float]:
    for value in values:
        yield from (round(value, 4), round(value + STEP, 4))


def _allowed(key: str, value: float) -> bool:
    """Whether a manifest may say so."""
    try:
        Filter.model_validate({key: value})
    except ValueError:
        return False
    return True


def _difference(present: Filter, other: Filter) -> tuple[str, float, float]:
    for key in Filter.model_fields:
        if getattr(present, key) != getattr(other, key):
            return key, getattr(present, key), getattr(other, key)
    raise AssertionError("every alternative differs in one threshold")


def _change(turn: dict[str, Any]) -> float:
    """How large a change is beside the threshold itself."""
    return abs(turn["to"] - turn["from"]) / max(abs(turn["from"]), 1e-9)

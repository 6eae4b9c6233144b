"""The rules: each compares one fact about a photo with one threshold. They are data, so that judging, explaining and
finding counterfactuals cannot disagree."""

from dataclasses import dataclass

from bolid_data.manifest import Filter


@dataclass(frozen=True)
class Rule:
    """A photo is out for `reason` when `fact <op> threshold`. A fact that is NULL (not measured) gives no reason, nor
    does a threshold that the manifest does not set."""

    reason: str
    fact: str
    op: str
    threshold: str  # a key of the manifest's [filter], or of FIXED


FIXED = {"one_name": 1, "no_opt_out": 0, "not_gone": 0}

ALONE = (
    Rule("opted_out", "opt_outs", ">", "no_opt_out"),
    Rule("too_small", "width", "<", "min_width"),
    Rule("too_small", "height", "<", "min_height"),
    Rule("aspect", "aspect", "<", "min_aspect"),
    Rule("aspect", "aspect", ">", "max_aspect"),
    Rule("no_person", "people", "<", "people"),
    Rule("several_people", "people", ">", "people"),
    Rule("several_faces", "faces", ">", "max_faces"),
    Rule("several_faces", "other_faces", ">", "max_other_faces"),
    Rule("watermarked", "site_mark", ">", "max_site_mark"),
    Rule("watermarked", "watermark", ">", "max_watermark"),
    Rule("watermarked", "watermark_unmarked", ">", "max_watermark_unmarked"),
    Rule("few_keypoints", "keypoints", "<", "min_keypoints"),
    Rule("sideways", "tilt", ">", "max_tilt"),
    Rule("blurred", "sharpness", "<", "min_sharpness"),
    Rule("dark", "brightness", "<", "min_brightness"),
    Rule("bright", "brightness", ">", "max_brightness"),
    Rule("colourless", "colourfulness", "<", "min_colourfulness"),
    Rule("odd_one_out", "likeness", "<", "min_likeness"),
    Rule("gone", "gone", ">", "not_gone"),
)
"""Rules on a single photo; those that depend on other photos (AMONG) are applied to their result."""

AMONG = (
    Rule("two_names", "names", ">", "one_name"),
    Rule("two_names", "between", "<=", "max_hamming_between"),
    Rule("duplicate", "distance", "<=", "max_hamming"),
    Rule("few_photos", "kept_photos", "<", "min_photos_per_person"),
)
"""Rules that depend on other photos, applied in this order: each to the photos that no earlier rule puts out."""

RULES = ALONE + AMONG

DETECTION_THRESHOLDS = (
    "min_confidence",
    "min_face_confidence",
    "min_keypoint_confidence",
    "min_prominence",
    "min_background_prominence",
    "min_relative_sharpness",
)
"""Thresholds that decide which detections count, before the facts are derived."""

MAX_STORED_DISTANCE = 10
"""Perceptual-hash distances up to this are stored in `near`; the largest `max_hamming` that a manifest may set."""

REASONS = ("broken", *dict.fromkeys(rule.reason for rule in RULES), "rejected")
"""All reasons that a verdict may have; `rejected` is a decision made by hand."""

FINAL = ("broken", "opted_out", "gone")
"""Reasons that no decision by hand overrides."""


def limits(thresholds: Filter) -> dict[str, float | None]:
    """Every threshold as a column for SQL, `limit_<key>`; NULL switches a rule off."""
    values = thresholds.model_dump(exclude={"background"}) | FIXED
    return {f"limit_{key}": None if value is False else value for key, value in values.items()}


def margins_sql() -> dict[str, str]:
    """SQL for the margin of each reason that has a threshold, from a row of facts and limits: how far the fact is from
    giving the reason, of several rules the nearest; NULL where nothing was measured or no limit is set. Below 0 the
    photo is out."""
    margins: dict[str, list[str]] = {}
    for rule in (rule for rule in RULES if rule.threshold not in FIXED):
        fact, limit = rule.fact, f"limit_{rule.threshold}"
        margins.setdefault(rule.reason, []).append(f"{limit} - {fact}" if rule.op == ">" else f"{fact} - {limit}")
    return {reason: f"least({', '.join(differences)})" for reason, differences in margins.items()}


def closeness_sql() -> str:
    """SQL for how close a photo is to the other verdict, from a row of facts and limits: the margin of the rule that is
    furthest beyond its threshold or, of a kept photo, nearest to it, as a share of the threshold.

    NULL where the rule that puts the photo out is one on a number of people or faces, which is not a matter of degree.
    """
    shares = [
        f"({f'limit_{rule.threshold} - {rule.fact}' if rule.op == '>' else f'{rule.fact} - limit_{rule.threshold}'})"
        f" / greatest(abs(limit_{rule.threshold}), 1e-9)"
        for rule in RULES
        if rule.threshold not in FIXED and rule.reason not in _COUNTS
    ]
    least = f"list_min([{', '.join(shares)}])"
    return f"CASE WHEN (len(reasons) > 0) = ({least} < 0) THEN abs({least}) END"


_COUNTS = ("no_person", "several_people", "several_faces", "few_photos")


def reasons_sql(rules: tuple[Rule, ...]) -> str:
    """SQL for the list of reasons of a row of facts and limits: in the order of the rules, without duplicates."""
    conditions: dict[str, list[str]] = {}
    for rule in rules:
        conditions.setdefault(rule.reason, []).append(f"{rule.fact} {rule.op} limit_{rule.threshold}")
    cases = ", ".join(f"CASE WHEN {' OR '.join(tests)} THEN '{reason}' END" for reason, tests in conditions.items())
    return f"list_filter([{cases}]::VARCHAR[], lambda reason: reason IS NOT NULL)"

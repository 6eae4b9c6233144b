"""What other thresholds would change, computed as the judge computes it and written nowhere."""

from typing import Any

from bolid_data.catalog import Catalog, dicts
from bolid_data.curate.judge.rules import FIXED, RULES
from bolid_data.curate.judge.verdicts import changes, try_thresholds
from bolid_data.manifest import Filter

EXAMPLES = 24
"""Photos that a preview shows of those gained, and of those lost."""

BINS = 40
"""Bars of a histogram."""

_JUDGED = """CREATE OR REPLACE TEMP TABLE previewed AS
SELECT person, sha256, len(reasons) = 0 AS kept, reasons FROM judgements WHERE complete OR len(reasons) > 0"""

# By hash, so that the examples are of many people, and the same whenever they are asked for.
_EXAMPLES = """
SELECT after.person, after.sha256, after.kept,
    CASE WHEN after.kept THEN before.reasons ELSE after.reasons END AS reasons
FROM previewed after LEFT JOIN judged before USING (person, sha256)
WHERE after.kept <> coalesce(before.kept, false) QUALIFY row_number() OVER (
    PARTITION BY after.kept ORDER BY hash(after.sha256)) <= $1
ORDER BY after.kept DESC, hash(after.sha256)
"""


def preview(catalog: Catalog, thresholds: Filter) -> dict[str, Any]:
    """What judging by `thresholds` would change: `gained`, `lost`, `gained_by` and `lost_by` as `judge` returns them,
    how many photos would be kept, and `examples` of both. Raises UsageError when nothing was measured yet."""
    with catalog.open(read_only=True) as con:
        try_thresholds(con, thresholds)
        con.execute(_JUDGED)
        kept = con.execute(
            "SELECT count(*) FILTER (kept), count(DISTINCT person) FILTER (kept) FROM previewed"
        ).fetchall()
        return changes(con, "judged", "previewed") | {
            "kept": kept[0][0], "people": kept[0][1], "examples": dicts(con.execute(_EXAMPLES, [EXAMPLES])),
        }  # fmt: skip


def distributions(catalog: Catalog, thresholds: Filter) -> dict[str, dict[str, Any]]:
    """For each threshold that a rule compares with a fact, how the photos are distributed: `low` and `high` (of all but
    the outermost hundredth), and `counts` of BINS bins of equal width between the two."""
    with catalog.open(read_only=True) as con:
        try_thresholds(con, thresholds)
        histograms = {}
        for threshold, facts in _facts().items():
            values = f"(SELECT unnest([{', '.join(facts)}])::DOUBLE AS value FROM judgements)"
            low, high = con.execute(
                f"SELECT quantile_cont(value, 0.005), quantile_cont(value, 0.995) FROM {values} WHERE isfinite(value)"
            ).fetchall()[0]
            if low is None:
                continue
            counts = [0] * BINS
            width = (high - low) / BINS or 1.0
            for place, count in con.execute(
                f"""SELECT least(greatest(floor((value - $1) / $2), 0), {BINS - 1})::INTEGER, count(*) FROM {values}
                    WHERE isfinite(value) GROUP BY ALL""",
                [low, width],
            ).fetchall():
                counts[place] = count
            histograms[threshold] = {"low": low, "high": high, "counts": counts}
        return histograms


def _facts() -> dict[str, list[str]]:
    facts: dict[str, list[str]] = {}
    for rule in RULES:
        if rule.threshold not in FIXED and rule.fact not in facts.setdefault(rule.threshold, []):
            facts[rule.threshold].append(rule.fact)
    return facts

"""How the facts that rules compare are distributed, for charts: counted by DuckDB, in bins that begin or end at the
(first) threshold, so that no bin mixes photos on both sides of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from bolid_data.curate.judge.rules import FIXED, RULES, Rule, limits
from bolid_data.manifest import Filter

_BINS = 48
_WHOLE = ("people", "faces", "other_faces", "keypoints", "distance", "between")
"""Facts that are counts: a bin for each value, as long as there are few."""
_SHARES = ("site_mark", "watermark", "watermark_unmarked", "brightness")
"""Facts from 0 to 1, which are shown from 0 to 1."""
_ROOM = 0.06
"""Of the chart's width, what is shown beyond a threshold that no photo is beyond."""


@dataclass(frozen=True)
class Side:
    """A threshold on a fact, and how many photos it puts out."""

    threshold: str
    op: str
    limit: float | None  # None: off
    out: int


@dataclass(frozen=True)
class Histogram:
    """`bins` are the numbers of photos, and of kept ones, from `low` on, `step` apart; the first and the last one also
    hold what is beyond."""

    fact: str
    reason: str
    sides: list[Side]
    low: float
    step: float
    bins: list[tuple[int, int]]
    whole: bool  # the fact is a number of something, and a bin holds the values from its low edge on
    measured: int
    lowest: float
    highest: float


def histograms(con: duckdb.DuckDBPyConnection, thresholds: Filter) -> Iterator[Histogram]:
    """A histogram of each fact that some rule with a threshold compares and that was measured, in the order of the
    rules. Needs the temporary table `judged_facts`."""
    by_fact: dict[str, list[Rule]] = {}
    for rule in RULES:
        if rule.threshold not in FIXED and rule.fact != "kept_photos":  # that is a fact about people
            by_fact.setdefault(rule.fact, []).append(rule)
    values = limits(thresholds)
    for fact, rules in by_fact.items():
        if histogram := _histogram(con, fact, rules, values):
            yield histogram


def _histogram(
    con: duckdb.DuckDBPyConnection, fact: str, rules: list[Rule], values: dict[str, float | None]
) -> Histogram | None:
    ((measured, lowest, highest, first, last),) = con.execute(
        f"""SELECT count({fact}), min({fact})::DOUBLE, max({fact})::DOUBLE, quantile_cont({fact}::DOUBLE, 0.005),
            quantile_cont({fact}::DOUBLE, 0.995) FROM judged_facts"""
    ).fetchall()
    if not measured:
        return None
    set_limits = [value for rule in rules if (value := values[f"limit_{rule.threshold}"]) is not None]
    if fact in _WHOLE:
        first, last = lowest, min(highest, max([last, *set_limits]) + 2)
    low, step, bins = _edges(fact, min([first, *set_limits]), max([last, *set_limits]), set_limits[:1])
    # A value at the threshold is in, on the side that its rule leaves: `>` below, `<` above.
    above = fact in _WHOLE or rules[0].op == "<"
    place = f"floor(({fact} - $low) / $step)" if above else f"ceil(({fact} - $low) / $step) - 1"
    rows = con.execute(
        f"""SELECT least($last, greatest(0, {place}))::INTEGER AS bin, count(*), count(*) FILTER (kept)
        FROM judged_facts WHERE {fact} IS NOT NULL GROUP BY bin""",
        {"low": low, "step": step, "last": bins - 1},
    ).fetchall()
    counts = {bin: (photos, kept) for bin, photos, kept in rows}
    sides = [_side(con, rule, values[f"limit_{rule.threshold}"]) for rule in rules]
    return Histogram(
        fact, rules[0].reason, sides, low, step, [counts.get(bin, (0, 0)) for bin in range(bins)], fact in _WHOLE,
        measured, lowest, highest,
    )  # fmt: skip


def _edges(fact: str, first: float, last: float, limit: list[float]) -> tuple[float, float, int]:
    """The low edge of the first bin, the width of a bin, and the number of bins."""
    if fact in _WHOLE:
        each = max(1, math.ceil((last - first + 1) / _BINS))
        return math.floor(first), each, math.floor((last - math.floor(first)) / each) + 1
    room = _ROOM * (last - first)
    if fact in _SHARES:
        first, last = 0.0, 1.0
    elif limit:
        first, last = max(min(first, limit[0] - room), min(first, 0.0)), max(last, limit[0] + room)
    step = (last - first) / _BINS or max(abs(first), 1.0) / _BINS
    low = first if not limit else limit[0] - math.ceil((limit[0] - first) / step - 1e-9) * step
    return low, step, _BINS + 1


def _side(con: duckdb.DuckDBPyConnection, rule: Rule, limit: float | None) -> Side:
    out = 0
    if limit is not None:
        query = f"SELECT count(*) FROM judged_facts WHERE {rule.fact} {rule.op} $limit"
        ((out,),) = con.execute(query, {"limit": limit}).fetchall()
    return Side(rule.threshold, rule.op, limit, out)

"""What the last judgement looks like, for a report: the photos to show of each reason, near copies, and how every fact
is distributed beside its thresholds. One query each over the facts of all photos; the photos that are returned are few
and are always the same ones."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, dicts
from bolid_data.catalog.captions import CHOSEN_CAPTIONS
from bolid_data.catalog.photo_names import FILE
from bolid_data.curate.judge.histograms import Histogram, histograms
from bolid_data.curate.judge.ledger import last_models
from bolid_data.curate.judge.rules import REASONS, RULES, limits, margins_sql
from bolid_data.curate.judge.verdicts import last_thresholds, try_thresholds
from bolid_data.manifest import Filter
from bolid_data.records import ModelIds

PICTURES = 300
"""Photos shown as samples of reasons, of all reasons together."""

_MOST, _ALMOST_OUT, _KEPT = 24, 6, 24
_UNKNOWN = 5
_GROUPS, _COPIES, _PAIRS = 12, 5, 12
UNSHOWN = ("opted_out", "gone")
"""Reasons of photos whose owner withdrew them: none is shown, for whatever other reason it is out."""
_OF_MANY = ("no_person", "several_people", "several_faces", "few_photos")


@dataclass(frozen=True)
class Samples:
    """Photos to show of a reason: those out for it, first the ones nearest to their threshold and then others; and kept
    ones that come nearest to being out for it."""

    photos: int  # out for it, shown or not
    out: list[dict[str, Any]]
    almost_out: list[dict[str, Any]]


@dataclass(frozen=True)
class Overview:
    """Photos are dicts: person, sha256, file, reasons, caption, `facts` (a rule's fact with value, limit, margin and
    `out`, of each rule with a margin)."""

    thresholds: Filter
    models: ModelIds
    samples: dict[str, Samples]  # by reason
    kept: list[dict[str, Any]]
    copies: list[dict[str, Any]]  # a kept photo with some of its duplicates, and their number
    two_names: list[dict[str, Any]]  # pairs of photos of two people
    histograms: list[Histogram]
    portraits: dict[str, str]  # a kept photo of each person


def overview(catalog: Catalog, portraits: Sequence[str] = ()) -> Overview | None:
    """An overview of the last judgement; None if there was none. `portraits` are the people to choose one photo of."""
    with catalog.open(read_only=True) as con:
        thresholds = last_thresholds(con)
        if thresholds is None:
            return None
        models = last_models(con)
        _gather_facts(con, thresholds)
        counts = dict(con.execute(_COUNTS).fetchall())
        share = max(4, min(_MOST, PICTURES // max(1, len(counts)) - _ALMOST_OUT))
        known = [reason for reason in REASONS if reason in counts]
        # Of photos that were withdrawn since: `reassigned`; in a stranger's catalog, whatever stands there.
        others = sorted(counts.keys() - set(known))[:_UNKNOWN]
        return Overview(
            thresholds, models,
            {reason: _samples(con, reason, counts[reason], share, thresholds) for reason in known + others},
            _photos(con, f"kept ORDER BY sha256 LIMIT {_KEPT}", thresholds),
            dicts(con.execute(_DUPLICATES, {"limit": thresholds.max_hamming})),
            dicts(con.execute(_TWO_NAMES, {"limit": _between(thresholds)})),
            list(histograms(con, thresholds)),
            dict(con.execute(_PORTRAITS, {"people": list(portraits)}).fetchall()),
        )  # fmt: skip


def _gather_facts(con: duckdb.DuckDBPyConnection, thresholds: Filter) -> None:
    """Fills the temporary table `judged_facts`: verdicts with the facts that they were made of."""
    try_thresholds(con, thresholds)
    margins = ", ".join(f"{sql} AS margin_{reason}" for reason, sql in margins_sql().items())
    facts = ", ".join(dict.fromkeys(rule.fact for rule in RULES))
    con.execute(
        f"""CREATE TEMP TABLE judged_facts AS SELECT verdicts.*, {facts}, framing, facing, broken, {margins}
        FROM verdicts LEFT JOIN (SELECT * EXCLUDE reasons FROM judgements) USING (person, sha256)"""
    )
    con.execute("DROP TABLE temp.judgements")


_COUNTS = "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason FROM judged_facts) GROUP BY reason"


def _samples(con: duckdb.DuckDBPyConnection, reason: str, photos: int, share: int, thresholds: Filter) -> Samples:
    if reason in UNSHOWN:
        return Samples(photos, [], [])
    margin = f"margin_{reason}" if reason in margins_sql() else None
    is_out = f"list_contains(reasons, '{_word(reason)}') AND NOT list_has_any(reasons, {list(UNSHOWN)})"
    nearest = f"{is_out} ORDER BY {margin} DESC NULLS LAST, sha256, person LIMIT {share * 2 // 3}"
    near = _photos(con, nearest, thresholds) if margin else []
    # A sha256 is as good as a random number, and the same one in every report.
    shown = [(photo["person"], photo["sha256"]) for photo in near]
    others = _photos(con, f"{is_out} ORDER BY sha256, person LIMIT {share}", thresholds)
    others = [photo for photo in others if (photo["person"], photo["sha256"]) not in shown][: share - len(near)]
    kept = f"kept AND {margin} IS NOT NULL ORDER BY {margin}, sha256, person LIMIT {_ALMOST_OUT}"
    # Of a number of people or photos, hundreds are equally near.
    almost_out = _photos(con, kept, thresholds) if margin and reason not in _OF_MANY else []
    return Samples(photos, near + others, almost_out)


def _word(reason: str) -> str:
    """A reason as part of SQL: a catalog may be a stranger's."""
    return reason.replace("'", "''")


def _photos(con: duckdb.DuckDBPyConnection, where: str, thresholds: Filter) -> list[dict[str, Any]]:
    rows = dicts(
        con.execute(
            f"""WITH chosen AS (SELECT *, row_number() OVER () AS place FROM (FROM judged_facts WHERE {where})),
            names AS (
                SELECT person, sha256, min({FILE}) AS file FROM attributions
                WHERE (person, sha256) IN (SELECT (person, sha256) FROM chosen) GROUP BY ALL
            )
            SELECT chosen.*, file, caption FROM chosen LEFT JOIN names USING (person, sha256)
            LEFT JOIN (SELECT sha256, caption FROM {CHOSEN_CAPTIONS}) USING (sha256) ORDER BY place"""
        )
    )
    values = limits(thresholds)
    return [
        {key: row[key] for key in ("person", "sha256", "file", "kept", "reasons", "caption", "broken")}
        | {"facts": list(_compared(row, values))}
        for row in rows
    ]


def _compared(row: dict[str, Any], values: dict[str, float | None]) -> Iterator[dict[str, Any]]:
    for rule in RULES:
        fact, limit = row[rule.fact], values[f"limit_{rule.threshold}"]
        if fact is None or limit is None:
            continue
        margin = limit - fact if rule.op == ">" else fact - limit
        out = margin <= 0 if rule.op == "<=" else margin < 0
        yield asdict(rule) | {"value": fact, "limit": limit, "margin": margin, "out": out}


def _between(thresholds: Filter) -> int:
    """The distance up to which photos of two people are near copies; below 0, only identical bytes are."""
    return -1 if thresholds.max_hamming_between is False else thresholds.max_hamming_between


_NEAR = "(SELECT a AS sha256, b AS other, distance FROM near UNION ALL SELECT b, a, distance FROM near)"

_DUPLICATES = f"""
SELECT best.person, best.sha256, count(*) AS number,
    list({{'sha256': copy.sha256, 'distance': near.distance}}
        ORDER BY near.distance DESC, copy.sha256)[:{_COPIES}] AS copies
FROM judged_facts copy JOIN {_NEAR} near USING (sha256)
JOIN judged_facts best ON best.sha256 = near.other AND best.person = copy.person
WHERE list_contains(copy.reasons, 'duplicate') AND best.kept AND near.distance <= $limit
GROUP BY ALL ORDER BY number DESC, best.sha256 LIMIT {_GROUPS}
"""

# Each pair once; a photo under two names is a pair of distance 0 with itself.
_TWO_NAMES = f"""
WITH named AS (
    SELECT person, sha256 FROM judged_facts
    WHERE list_contains(reasons, 'two_names') AND NOT list_has_any(reasons, {list(UNSHOWN)})
)
SELECT a.person AS person, a.sha256 AS sha256, b.person AS other_person, b.sha256 AS other, distance
FROM named a JOIN (
    SELECT sha256, other, distance FROM {_NEAR} WHERE distance <= $limit
    UNION ALL SELECT DISTINCT sha256, sha256, 0 FROM named
) near USING (sha256)
JOIN named b ON b.sha256 = near.other AND b.person > a.person
ORDER BY distance DESC, a.sha256, b.sha256 LIMIT {_PAIRS}
"""

_PORTRAITS = """
SELECT person, arg_min(sha256, (framing <> 'bust', facing <> 'front', sha256)) FROM judged_facts
WHERE kept AND person IN (SELECT unnest($people)) GROUP BY person
"""

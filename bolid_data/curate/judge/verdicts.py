"""Judging: every rule over every photo's facts, in SQL. A new threshold is a new judgement over what was measured."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb

from bolid_data.catalog import Catalog
from bolid_data.curate.judge.facts import find_facts
from bolid_data.curate.judge.ledger import draw_up, draw_up_some, last_models
from bolid_data.curate.judge.rules import REASONS
from bolid_data.manifest import Filter
from bolid_data.records import ModelIds

MEMORY = "2GB"
"""What DuckDB may hold while it judges; beyond it, it writes to the disk."""


def judge(catalog: Catalog, thresholds: Filter, models: ModelIds | None = None) -> dict[str, Any]:
    """Judges every photo by `thresholds` and stores the verdicts. Without `models`, those of the last judgement.

    Returns how many photos were not kept before and are now (`gained`), and the reverse (`lost`), and of both by which
    reasons (`gained_by`: reasons they had; `lost_by`: reasons they have); and how many photos have no verdict, as not
    all models have seen them and nothing puts them out (`unmeasured`). Raises UsageError when nothing was measured yet.
    """
    with catalog.open() as con:
        con.execute(f"SET memory_limit = '{MEMORY}'")
        models = models or last_models(con)
        draw_up(con, models)
        find_facts(con, [thresholds])
        con.execute("CREATE TEMP TABLE before AS SELECT person, sha256, kept, reasons FROM judged")
        # Anew, not row by row: no index has to follow.
        con.execute(
            """CREATE OR REPLACE TABLE judged AS
            SELECT person, sha256, len(reasons) = 0 AS kept, reasons, framing, facing
            FROM judgements WHERE complete OR len(reasons) > 0"""
        )
        con.execute("DELETE FROM judgement")
        con.execute(
            "INSERT INTO judgement SELECT $thresholds, $pose, $face, $watermark, $hash, $quality, $identity",
            {"thresholds": thresholds.model_dump_json()} | asdict(models),
        )
        waiting = con.execute("SELECT count(*) FROM judgements WHERE NOT complete AND len(reasons) = 0").fetchall()
        return _changes(con) | {"unmeasured": waiting[0][0]}


def already_out(catalog: Catalog, thresholds: Filter, models: ModelIds, sha256s: Sequence[str]) -> set[str]:
    """Of these photos, those that what is measured so far puts out under every name they have, whatever else would be
    measured."""
    with catalog.open() as con:
        draw_up_some(con, models, list(sha256s))
        find_facts(con, [thresholds], "some_ledger")
        rows = con.execute("SELECT sha256 FROM judgements GROUP BY sha256 HAVING bool_and(len(reasons) > 0)").fetchall()
        return {sha256 for (sha256,) in rows}


def funnel(catalog: Catalog) -> dict[str, Any]:
    """How many photos were judged, and of those out for each reason (a photo may have several), how many stay."""
    with catalog.open(read_only=True) as con:
        # A photo leaves the funnel at the first of its reasons.
        rows = con.execute("SELECT reasons, count(*) FROM verdicts GROUP BY reasons").fetchall()
    counts = dict.fromkeys(REASONS, 0)
    leaving = dict(counts)
    for reasons, photos in rows:
        for reason in reasons:
            counts[reason] += photos
        if reasons:
            leaving[reasons[0]] += photos
    return {
        "photos": sum(photos for _, photos in rows),
        "kept": sum(photos for reasons, photos in rows if not reasons),
        "reasons": {reason: photos for reason, photos in counts.items() if photos},
        "leaving": {reason: leaving[reason] for reason, photos in counts.items() if photos},
    }


def _changes(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    rows = con.execute(
        """SELECT now.kept, CASE WHEN now.kept THEN before.reasons ELSE now.reasons END, count(*)
        FROM judged now LEFT JOIN before USING (person, sha256)
        WHERE now.kept <> coalesce(before.kept, false) GROUP BY ALL"""
    ).fetchall()
    found: dict[str, Any] = {"gained": 0, "lost": 0, "gained_by": {}, "lost_by": {}}
    for kept, reasons, photos in rows:
        word = "gained" if kept else "lost"
        found[word] += photos
        for reason in reasons or []:
            found[f"{word}_by"][reason] = found[f"{word}_by"].get(reason, 0) + photos
    return found

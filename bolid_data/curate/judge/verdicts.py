"""Judging: applies every rule to every photo's facts, in SQL. New thresholds need no new measurements."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, insert
from bolid_data.curate.judge.facts import compute_facts
from bolid_data.curate.judge.ledger import build_ledger, build_partial_ledger, last_models
from bolid_data.curate.judge.rules import REASONS
from bolid_data.manifest import Filter
from bolid_data.records import ModelIds

MEMORY = "1200MB"
"""DuckDB's memory limit while it judges; beyond it, DuckDB spills to disk. The process takes about 150 MB more."""


def judge(catalog: Catalog, thresholds: Filter, models: ModelIds | None = None) -> dict[str, Any]:
    """Judges every photo by `thresholds` and stores the verdicts. `models` defaults to those of the last judgement.

    Returns how many photos are kept that were not before (`gained`) and the reverse (`lost`), by reason (`gained_by`:
    the reasons they had; `lost_by`: the reasons they have), and how many have no verdict because they are not out and
    not all models have measured them (`unmeasured`). Raises UsageError when nothing was measured yet.
    """
    with catalog.open() as con:
        con.execute(f"SET memory_limit = '{MEMORY}'")
        models = models or last_models(con)
        build_ledger(con, models)
        compute_facts(con, [thresholds])
        con.execute("CREATE TEMP TABLE before AS SELECT person, sha256, kept, reasons FROM judged")
        # A new table is faster than updates row by row, which update an index too.
        con.execute(
            """CREATE OR REPLACE TABLE judged AS
            SELECT person, sha256, len(reasons) = 0 AS kept, reasons, framing, facing
            FROM judgements WHERE complete OR len(reasons) > 0"""
        )
        con.execute("DELETE FROM judgement")
        insert(con, "judgement", [{"thresholds": thresholds.model_dump_json()} | asdict(models)])
        unmeasured = con.execute("SELECT count(*) FROM judgements WHERE NOT complete AND len(reasons) = 0").fetchall()
        return _changes(con) | {"unmeasured": unmeasured[0][0]}


def last_thresholds(con: duckdb.DuckDBPyConnection) -> Filter | None:
    """The thresholds of the last judgement; None if there was none."""
    row = con.execute("SELECT thresholds FROM judgement").fetchone()
    return Filter.model_validate_json(row[0]) if row else None


def last_judgement(catalog: Catalog) -> tuple[Filter, ModelIds] | None:
    """The thresholds and models of the last judgement; None if there was none."""
    with catalog.open(read_only=True) as con:
        thresholds = last_thresholds(con)
        return (thresholds, last_models(con)) if thresholds else None


def already_out(catalog: Catalog, thresholds: Filter, models: ModelIds, sha256s: Sequence[str]) -> set[str]:
    """Those of these photos that are out for each of their people by what is measured so far, whatever further
    measurements would give."""
    with catalog.open() as con:
        build_partial_ledger(con, models, list(sha256s))
        compute_facts(con, [thresholds], "partial_ledger")
        rows = con.execute("SELECT sha256 FROM judgements GROUP BY sha256 HAVING bool_and(len(reasons) > 0)").fetchall()
        return {sha256 for (sha256,) in rows}


def funnel(catalog: Catalog) -> dict[str, Any]:
    """The number of photos judged, out for each reason (a photo may have several), and kept."""
    with catalog.open(read_only=True) as con:
        # A photo leaves the funnel at its first reason.
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
    changes: dict[str, Any] = {"gained": 0, "lost": 0, "gained_by": {}, "lost_by": {}}
    for kept, reasons, photos in rows:
        word = "gained" if kept else "lost"
        changes[word] += photos
        for reason in reasons or []:
            changes[f"{word}_by"][reason] = changes[f"{word}_by"].get(reason, 0) + photos
    return changes

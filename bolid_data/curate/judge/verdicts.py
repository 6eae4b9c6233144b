"""Judging: applies every rule to every photo's facts, in SQL. New thresholds need no new measurements."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, insert
from bolid_data.curate.judge.facts import compute_facts
from bolid_data.curate.judge.ledger import (
    build_ledger,
    build_partial_ledger,
    fill_people_ledger,
    is_current,
    last_models,
)
from bolid_data.curate.judge.rules import REASONS
from bolid_data.manifest import Filter
from bolid_data.records import ModelIds

MEMORY = "1200MB"
"""DuckDB's memory limit while it judges; beyond it, DuckDB spills to disk. The process takes about 150 MB more."""


_ALONE = {"min_photos_per_person": 0, "max_hamming": -1}
"""Thresholds that turn off the rules on a person's photos together, of which only some are at hand."""


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
        con.execute(f"CREATE OR REPLACE TABLE judged AS {_JUDGED}")
        con.execute("CREATE OR REPLACE TABLE judged_decisions AS SELECT max(id) AS last FROM decision_log")
        con.execute("DELETE FROM judgement")
        insert(con, "judgement", [{"thresholds": thresholds.model_dump_json()} | asdict(models)])
        unmeasured = con.execute("SELECT count(*) FROM judgements WHERE NOT complete AND len(reasons) = 0").fetchall()
        return changes(con, "before", "judged") | {"unmeasured": unmeasured[0][0]}


def judge_decided(catalog: Catalog) -> None:
    """Judges again by the last thresholds and models, after decisions by hand: only the people whose photos were kept
    or rejected since, where nothing else has changed, and otherwise everybody. The verdicts are the same either way.

    Does nothing before the first judgement.
    """
    with catalog.open() as con:
        thresholds = last_thresholds(con)
        if thresholds is None:
            return
        con.execute(f"SET memory_limit = '{MEMORY}'")
        models, since = last_models(con), _decisions_judged(con)
        # The ledger holds whose photo each is, so it is not current after an assignment.
        alone = since is not None and is_current(con, models)
        if alone:
            people = "SELECT DISTINCT person FROM decision_log WHERE id > $since"
            fill_people_ledger(con, models, people, {"since": since})
            compute_facts(con, [thresholds], "people_ledger")
            con.execute("DELETE FROM judged WHERE person IN (SELECT person FROM chosen_people)")
            con.execute(f"INSERT INTO judged {_JUDGED}")
            con.execute("UPDATE judged_decisions SET last = (SELECT max(id) FROM decision_log)")
    if not alone:
        judge(catalog, thresholds, models)


def try_thresholds(con: duckdb.DuckDBPyConnection, thresholds: Filter) -> None:
    """Fills the temporary table `judgements` as judging everybody by these thresholds, on what the models of the last
    judgement measured, would have it; nothing is stored."""
    con.execute(f"SET memory_limit = '{MEMORY}'")
    fill_people_ledger(con, last_models(con), "SELECT DISTINCT person FROM attributions")
    compute_facts(con, [thresholds], "people_ledger")


def _decisions_judged(con: duckdb.DuckDBPyConnection) -> int | None:
    """The last entry of the log that the verdicts follow; None where that is unknown."""
    if not con.execute("FROM duckdb_tables() WHERE table_name = 'judged_decisions' AND NOT temporary").fetchone():
        return None
    return int(con.execute("SELECT coalesce(max(last), 0) FROM judged_decisions").fetchall()[0][0])


_JUDGED = """SELECT person, sha256, len(reasons) = 0 AS kept, reasons, framing, facing, rotation
FROM judgements WHERE complete OR len(reasons) > 0"""


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
        compute_facts(con, [thresholds.model_copy(update=_ALONE)], "partial_ledger")
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


def changes(con: duckdb.DuckDBPyConnection, before: str, after: str) -> dict[str, Any]:
    """How many photos are kept in one table of verdicts and not in another, as `judge` returns them."""
    rows = con.execute(
        f"""SELECT after.kept, CASE WHEN after.kept THEN before.reasons ELSE after.reasons END, count(*)
        FROM {after} after LEFT JOIN {before} before USING (person, sha256)
        WHERE after.kept <> coalesce(before.kept, false) GROUP BY ALL"""
    ).fetchall()
    counts: dict[str, Any] = {"gained": 0, "lost": 0, "gained_by": {}, "lost_by": {}}
    for kept, reasons, photos in rows:
        word = "gained" if kept else "lost"
        counts[word] += photos
        for reason in reasons or []:
            counts[f"{word}_by"][reason] = counts[f"{word}_by"].get(reason, 0) + photos
    return counts

"""Lists all photos of all people with verdict, reasons, caption and margins, by one query."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.atomic_io import atomic_write
from bolid_data.catalog import Catalog
from bolid_data.catalog.captions import CHOSEN_CAPTIONS
from bolid_data.catalog.photo_names import PHOTOS
from bolid_data.curate.judge.facts import compute_facts
from bolid_data.curate.judge.ledger import fill_people_ledger, last_models
from bolid_data.curate.judge.rules import REASONS, margins_sql
from bolid_data.curate.judge.verdicts import last_thresholds
from bolid_data.errors import UsageError

MEMORY = "2GB"
"""DuckDB's memory limit while it lists photos, enough for about a million."""

FORMATS = (".csv", ".parquet")
_BATCH = 1000


@dataclass(frozen=True)
class Wanted:
    """The photos to list; by default all."""

    people: Sequence[str] = ()  # slugs
    reasons: Sequence[str] = ()  # one of them is enough
    kept: bool | None = None  # only those kept, or only those not kept

    def __post_init__(self) -> None:
        if unknown := [reason for reason in self.reasons if reason not in REASONS]:
            raise UsageError(f"--reason {unknown[0]}: no such reason; there are {', '.join(REASONS)}")


def count_photos(catalog: Catalog, wanted: Wanted) -> int:
    with catalog.open(read_only=True) as con:
        _refuse_unknown_people(con, wanted)
        query = f"SELECT count(*) FROM ({PHOTOS}) LEFT JOIN verdicts USING (person, sha256) WHERE {_WHERE}"
        return int(con.execute(query, _values(wanted)).fetchall()[0][0])


def list_photos(catalog: Catalog, wanted: Wanted, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yields a dict for each person and photo, by person and file: person, sha256, `file` (its path in the source
    folder, or its URL), kept (None: not judged yet), reasons, caption (the one in use, or None), and margins:
    for each reason how far the photo is from it, in the unit of the fact; below 0 it is out for this reason.

    The catalog is open until the last one was taken. Raises UsageError for people who are not in the dataset.
    """
    with catalog.open(read_only=True) as con:
        _refuse_unknown_people(con, wanted)
        margins = _compute_margins(con, wanted)
        result = con.execute(f"{_query(margins)} LIMIT {'ALL' if limit is None else limit}", _values(wanted))
        while rows := result.fetchmany(_BATCH):
            for person, sha256, file, kept, reasons, caption, *values in rows:
                yield {
                    "person": person, "sha256": sha256, "file": file, "kept": kept, "reasons": reasons,
                    "caption": caption,
                    "margins": {name: value for name, value in zip(margins, values, strict=True) if value is not None},
                }  # fmt: skip


def export_photos(catalog: Catalog, wanted: Wanted, file: Path) -> None:
    """Writes the same to a CSV or Parquet file, by its suffix, with a column `margin_<reason>` for each reason. In
    CSV, reasons are separated by spaces. Raises UsageError for another suffix."""
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"--out {file}: ends in neither {' nor '.join(FORMATS)}")
    with atomic_write(file) as partial, catalog.open(read_only=True, files=True) as con:
        _refuse_unknown_people(con, wanted)
        query = _query(_compute_margins(con, wanted), "margin_")
        if suffix == ".csv":
            query = f"SELECT * REPLACE (array_to_string(reasons, ' ') AS reasons) FROM ({query})"
        target = str(partial).replace("'", "''")
        con.execute(f"COPY ({query}) TO '{target}' (FORMAT {suffix[1:]})", _values(wanted))


def _compute_margins(con: duckdb.DuckDBPyConnection, wanted: Wanted) -> dict[str, str]:
    """Fills the temporary table `judgements` with the facts of these people's photos. Returns SQL for the margin of
    each reason; nothing before the first judgement."""
    con.execute(f"SET memory_limit = '{MEMORY}'")
    thresholds = last_thresholds(con)
    if thresholds is None:
        con.execute("CREATE TEMP TABLE judgements (person VARCHAR, sha256 VARCHAR)")
        return {}
    people = "SELECT DISTINCT person FROM attributions WHERE len($people) = 0 OR list_contains($people, person)"
    fill_people_ledger(con, last_models(con), people, {"people": list(wanted.people)})
    compute_facts(con, [thresholds], "people_ledger")
    return margins_sql()


def _query(margins: dict[str, str], prefix: str = "") -> str:
    columns = "".join(f', {sql} AS "{prefix}{name}"' for name, sql in margins.items())
    return f"""WITH photos_of_people AS ({PHOTOS})
SELECT person, sha256, file, kept, coalesce(verdicts.reasons, []) AS reasons, caption{columns}
FROM photos_of_people LEFT JOIN verdicts USING (person, sha256)
LEFT JOIN (SELECT sha256, caption FROM {CHOSEN_CAPTIONS}) USING (sha256)
LEFT JOIN judgements USING (person, sha256)
WHERE {_WHERE} ORDER BY person, file, sha256"""


_WHERE = """
(len($people) = 0 OR list_contains($people, person))
AND (len($reasons) = 0 OR list_has_any(verdicts.reasons, $reasons))
AND ($kept IS NULL OR coalesce(kept, false) = $kept)
"""


def _values(wanted: Wanted) -> dict[str, Any]:
    return {"people": list(wanted.people), "reasons": list(wanted.reasons), "kept": wanted.kept}


def _refuse_unknown_people(con: duckdb.DuckDBPyConnection, wanted: Wanted) -> None:
    query = "SELECT unnest($1::VARCHAR[]) EXCEPT (SELECT person FROM people UNION SELECT person FROM attributions)"
    for (person,) in con.execute(query, [list(wanted.people)]).fetchall():
        raise UsageError(f"--person {person}: nobody has this slug; `bolid status` lists them")

"""Which photos other thresholds, or another dataset, would keep: compared with the stored verdicts, and nothing is
written."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import duckdb

from bolid_data.catalog import Catalog, dicts, insert
from bolid_data.catalog.photo_names import PHOTOS
from bolid_data.curate.judge.facts import compute_facts
from bolid_data.curate.judge.rules import margins_sql
from bolid_data.curate.judge.verdicts import MEMORY, last_thresholds, try_thresholds
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter

_BATCH = 20_000

Verdict = tuple[str, str, bool, list[str]]
"""Person, sha256, whether the photo is kept, and the reasons."""


@dataclass(frozen=True)
class Comparison:
    """The verdicts here beside others. `photos` are those that only one side keeps, by person and file: person, sha256,
    file (None: not in this dataset), and for each side (`here`, `other`) kept, reasons and margins by reason; kept is
    None for a photo that the side has not."""

    kept: dict[str, int]  # photos that each side keeps
    gained_by: dict[str, int]  # of photos that only the other side keeps: the reasons here
    lost_by: dict[str, int]  # of photos that are kept only here: the other side's reasons
    people: list[dict[str, Any]]  # person, here, other (photos kept), gained, lost; those who differ
    photos: list[dict[str, Any]] = field(repr=False)
    other_reasons: int = 0  # photos that are out on both sides, for different reasons
    unmeasured: int = 0  # photos that the other side would keep and some model has not measured

    @property
    def gained(self) -> int:
        return sum(row["gained"] for row in self.people)

    @property
    def lost(self) -> int:
        return sum(row["lost"] for row in self.people)


def compare_thresholds(catalog: Catalog, thresholds: Filter) -> Comparison:
    """What `thresholds` would change, on what the models of the last judgement measured. Raises UsageError when nothing
    was judged yet."""
    with catalog.open(read_only=True) as con:
        last = _begin(con)
        try_thresholds(con, thresholds)
        con.execute(
            f"""CREATE TEMP TABLE other AS SELECT person, sha256, len(reasons) = 0 AS kept, reasons, {_MARGINS}
            FROM judgements WHERE complete OR len(reasons) > 0"""
        )
        query = "SELECT count(*) FROM judgements WHERE NOT complete AND len(reasons) = 0"
        ((unmeasured,),) = con.execute(query).fetchall()
        compute_facts(con, [last], "people_ledger")
        con.execute(f"CREATE TEMP TABLE margins AS SELECT person, sha256, {_MARGINS} FROM judgements")
        return _compare(con, unmeasured)


def compare_verdicts(catalog: Catalog, verdicts: Iterable[Verdict]) -> Comparison:
    """The stored verdicts beside those of another dataset. Raises UsageError when nothing was judged yet."""
    with catalog.open(read_only=True) as con:
        _begin(con)
        con.execute(
            f"CREATE TEMP TABLE other AS SELECT person, sha256, kept, reasons, {_NO_MARGINS} FROM verdicts LIMIT 0"
        )
        left = iter(verdicts)
        while rows := list(islice(left, _BATCH)):
            names = ("person", "sha256", "kept", "reasons")
            insert(con, "temp.other", [dict(zip(names, row, strict=True)) for row in rows])
        con.execute("CREATE TEMP TABLE margins AS SELECT person, sha256, margins FROM other LIMIT 0")
        return _compare(con)


def _begin(con: duckdb.DuckDBPyConnection) -> Filter:
    con.execute(f"SET memory_limit = '{MEMORY}'")
    thresholds = last_thresholds(con)
    if thresholds is None:
        raise UsageError("nothing is judged yet; run `bolid filter` first")
    return thresholds


_NAMES = margins_sql()
_MARGINS = f"struct_pack({', '.join(f'{name} := ({sql})::DOUBLE' for name, sql in _NAMES.items())}) AS margins"
_NO_MARGINS = f"struct_pack({', '.join(f'{name} := NULL::DOUBLE' for name in _NAMES)}) AS margins"

_SIDES = """
CREATE TEMP TABLE sides AS
SELECT person, sha256, here.kept AS kept, here.reasons AS reasons, margins.margins AS margins,
    other.kept AS other_kept, other.reasons AS other_reasons, other.margins AS other_margins,
    coalesce(here.kept, false) AS in_here, coalesce(other.kept, false) AS in_other
FROM verdicts here FULL JOIN other USING (person, sha256) LEFT JOIN margins USING (person, sha256)
WHERE here.kept OR other.kept OR here.reasons IS DISTINCT FROM other.reasons
"""

_PEOPLE = """
SELECT person, count(*) FILTER (in_here) AS here, count(*) FILTER (in_other) AS other,
    count(*) FILTER (in_other AND NOT in_here) AS gained, count(*) FILTER (in_here AND NOT in_other) AS lost
FROM sides GROUP BY person HAVING gained + lost > 0 ORDER BY gained + lost DESC, person
"""

_PHOTOS = f"""
WITH names AS ({PHOTOS})
SELECT person, sha256, file, kept, reasons, margins, other_kept, other_reasons, other_margins
FROM sides LEFT JOIN names USING (person, sha256) WHERE in_here <> in_other ORDER BY person, file, sha256
"""


def _compare(con: duckdb.DuckDBPyConnection, unmeasured: int = 0) -> Comparison:
    con.execute(_SIDES)
    ((here, other, both_out),) = con.execute(
        """SELECT count(*) FILTER (in_here), count(*) FILTER (in_other),
            count(*) FILTER (NOT in_here AND NOT in_other AND kept IS NOT NULL AND other_kept IS NOT NULL) FROM sides"""
    ).fetchall()
    by_reason = """SELECT reason, count(*) FROM (SELECT unnest({reasons}) AS reason FROM sides WHERE {which})
        GROUP BY ALL ORDER BY count(*) DESC, reason"""
    gained = con.execute(by_reason.format(reasons="reasons", which="in_other AND NOT in_here")).fetchall()
    lost = con.execute(by_reason.format(reasons="other_reasons", which="in_here AND NOT in_other")).fetchall()
    return Comparison(
        {"here": here, "other": other}, dict(gained), dict(lost), dicts(con.execute(_PEOPLE)),
        [_photo(row) for row in dicts(con.execute(_PHOTOS))], both_out, unmeasured,
    )  # fmt: skip


def _photo(row: dict[str, Any]) -> dict[str, Any]:
    def side(prefix: str) -> dict[str, Any]:
        reasons, margins = row[f"{prefix}reasons"] or [], row[f"{prefix}margins"] or {}
        known = {reason: margins[reason] for reason in reasons if margins.get(reason) is not None}
        return {"kept": row[f"{prefix}kept"], "reasons": reasons, "margins": known}

    return {key: row[key] for key in ("person", "sha256", "file")} | {"here": side(""), "other": side("other_")}

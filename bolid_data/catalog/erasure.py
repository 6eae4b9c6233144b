"""Erases people and photos. Deleted rows remain in a database's file, so the file is rewritten without them."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from bolid_data.atomic_io import replace
from bolid_data.catalog.connection import Part
from bolid_data.catalog.rows import dicts, first_line
from bolid_data.errors import BolidError


class Erasure(Part):
    def people_named(self, name_or_slug: str) -> list[str]:
        """Slugs of the people with this slug or, if there is none, with this name; sorted."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                """SELECT person, name FROM people UNION SELECT person, person FROM sightings
                   UNION SELECT person, person FROM decision_log"""
            ).fetchall()
        exact = {person for person, _ in rows if person == name_or_slug}
        folded = name_or_slug.casefold()
        return sorted(exact or {person for person, name in rows if name and name.casefold() == folded})

    def photos_of(self, person: str) -> set[str]:
        """sha256s of all photos that are the person's by a sighting (even if assigned to somebody else since), by an
        assignment, or that were found at an address of theirs for anybody."""
        with self._catalog.open(read_only=True) as con:
            rows = con.execute(
                """SELECT sha256 FROM sightings WHERE sha256 IS NOT NULL
                   AND url IN (SELECT url FROM sightings WHERE person = $1)
                   UNION SELECT sha256 FROM replaced WHERE person = $1
                   UNION SELECT sha256 FROM assignments WHERE person = $1
                   UNION SELECT sha256 FROM judged WHERE person = $1""",
                [person],
            ).fetchall()
        return {sha256 for (sha256,) in rows}

    def photos(self) -> set[str]:
        """sha256s of all photos."""
        with self._catalog.open() as con:
            return {sha256 for (sha256,) in con.execute("SELECT sha256 FROM photos").fetchall()}

    def forget(self, person: str, sha256s: Sequence[str]) -> None:
        """Rewrites the catalog without a person and photos: without their rows in all tables with a column `person` or
        `sha256` (in `near`: `a`, `b`), their addresses, and lists of people that name them, which the next crawl reads
        again.

        If killed, it has no effect. It needs as much free disk space as the catalog takes.
        """
        part = self._catalog.path.with_name(f".{self._catalog.path.name}.part")
        for stale in (part, _wal(part)):
            stale.unlink(missing_ok=True)
        with closing(self._catalog.connect(read_only=False, files=True)) as con:
            try:
                _copy_others(con, part, person, sha256s)
            except (duckdb.IOException, duckdb.FatalException) as error:
                raise BolidError(f"{part}: {first_line(error)}; nothing is lost, run it again") from error
        _wal(self._catalog.path).unlink(missing_ok=True)
        replace(part, self._catalog.path)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _copy_others(con: duckdb.DuckDBPyConnection, part: Path, person: str, sha256s: Sequence[str]) -> None:
    con.execute("CREATE TEMP TABLE gone AS SELECT unnest($1::VARCHAR[]) AS sha256", [list(sha256s)])
    con.execute("CREATE TEMP TABLE addresses AS SELECT url FROM sightings WHERE person = $1", [person])
    con.execute("CREATE TEMP TABLE words AS SELECT lower(name) AS word FROM people WHERE person = $1", [person])
    con.execute("INSERT INTO words VALUES ($1)", [person])
    old = con.execute("SELECT current_database()").fetchall()[0][0]
    con.execute(f"ATTACH '{_quoted(part)}' AS fresh")
    con.execute(f'COPY FROM DATABASE "{old}" TO fresh (SCHEMA)')
    tables = con.execute(
        """SELECT table_name, list(column_name) FROM duckdb_columns() WHERE database_name = 'fresh'
           AND table_name IN (SELECT table_name FROM duckdb_tables() WHERE database_name = 'fresh') GROUP BY ALL"""
    ).fetchall()
    con.execute("SET VARIABLE person = $1::VARCHAR", [person])
    named = "EXISTS (FROM words WHERE contains(lower(why), word))"
    for table, columns in tables:
        others = " AND ".join(_others(table, columns)) or "true"
        columns_of_others = "*"
        if table == "decision_log":  # a remark on somebody else's photo may name the person
            columns_of_others = f"* REPLACE (CASE WHEN NOT {named} THEN why END AS why)"
        if table == "site_groups":  # a hash over people and photos; the marks are estimated again without them
            columns_of_others = "* REPLACE ('' AS digest)"
        con.execute(f'INSERT INTO fresh."{table}" BY NAME SELECT {columns_of_others} FROM "{table}" WHERE {others}')
    con.execute("DETACH fresh")


def _others(table: str, columns: Sequence[str]) -> Iterator[str]:
    """SQL conditions that select a table's rows of others."""
    for column in columns:
        if column == "sha256" or (table == "near" and column in ("a", "b")):
            yield f"({column} IS NULL OR {column} NOT IN (SELECT sha256 FROM gone))"
        elif column == "person":
            yield "person IS DISTINCT FROM getvariable('person')"
    if table == "sightings":
        yield "url NOT IN (SELECT url FROM addresses)"
    if table == "pages":
        yield "NOT EXISTS (SELECT 1 FROM words WHERE contains(lower(pages.url || ' ' || pages.found), word))"


def without_person(measurements: Path, to: Path, person: str, name: str, sha256s: Sequence[str]) -> None:
    """Rewrites a file of `export_measurements` without photos and their near copies in other rows, and without what
    other rows hold about a person."""
    gone = "(SELECT unnest(getvariable('gone')))"
    with duckdb.connect() as con:
        con.execute("SET VARIABLE gone = $1::VARCHAR[]", [list(sha256s)])
        con.execute("SET VARIABLE person = $1::VARCHAR", [person])
        con.execute("SET VARIABLE words = $1::VARCHAR[]", [[person, name.lower() or person]])
        source = f"read_parquet('{_quoted(measurements)}')"
        columns = [row["column_name"] for row in dicts(con.execute(f"DESCRIBE FROM {source}"))]
        others = ", ".join(f"{query} AS {column}" for column, query in _LISTS_OF_OTHERS.items() if column in columns)
        con.execute(
            f"""COPY (SELECT * {f"REPLACE ({others})" if others else ""} FROM {source} WHERE sha256 NOT IN {gone}
                ORDER BY sha256) TO '{_quoted(to)}' (FORMAT parquet)"""
        )


_NOT_THEIRS = "lambda row: row.person IS DISTINCT FROM getvariable('person')"
_WHY = """CASE WHEN len(list_filter(getvariable('words'), lambda word: contains(lower(row.why), word))) = 0
    THEN row.why END"""
_LISTS_OF_OTHERS = {
    "near": "list_filter(near, lambda row: NOT list_contains(getvariable('gone'), row.b))",
    "likenesses": f"list_filter(likenesses, {_NOT_THEIRS})",
    "verdicts": f"list_filter(verdicts, {_NOT_THEIRS})",
    "decisions": f"""list_transform(list_filter(decisions, {_NOT_THEIRS}), lambda row:
        {{'person': row.person, 'keep': row.keep, 'why': {_WHY}, 'decided_at': row.decided_at}})""",
    "assignments": f"""list_transform(list_filter(assignments, {_NOT_THEIRS}), lambda row:
        {{'person': row.person, 'why': {_WHY}, 'decided_at': row.decided_at}})""",
}
"""Lists of `export_measurements` without a person and photos."""


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")

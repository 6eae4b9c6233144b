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
        with self._catalog.open() as con:
            rows = con.execute("SELECT person, name FROM people UNION SELECT person, person FROM sightings").fetchall()
        exact = {person for person, _ in rows if person == name_or_slug}
        folded = name_or_slug.casefold()
        return sorted(exact or {person for person, name in rows if name and name.casefold() == folded})

    def photos_of(self, person: str) -> set[str]:
        """sha256s of all photos with a sighting of the person, or at an address of theirs for anybody."""
        with self._catalog.open() as con:
            rows = con.execute(
                """SELECT sha256 FROM sightings WHERE sha256 IS NOT NULL
                   AND url IN (SELECT url FROM sightings WHERE person = $1)
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
    for table, columns in tables:
        others = " AND ".join(_others(table, columns)) or "true"
        con.execute(f'INSERT INTO fresh."{table}" BY NAME FROM "{table}" WHERE {others}')
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


def without_photos(measurements: Path, to: Path, sha256s: Sequence[str]) -> None:
    """Rewrites a file of `export_measurements` without photos, and without their near copies in other rows."""
    gone = "(SELECT unnest(getvariable('gone')))"
    with duckdb.connect() as con:
        con.execute("SET VARIABLE gone = $1::VARCHAR[]", [list(sha256s)])
        source = f"read_parquet('{_quoted(measurements)}')"
        columns = [row["column_name"] for row in dicts(con.execute(f"DESCRIBE FROM {source}"))]
        near = "REPLACE (list_filter(near, lambda other: NOT list_contains(getvariable('gone'), other.b)) AS near)"
        con.execute(
            f"""COPY (SELECT * {near if "near" in columns else ""} FROM {source} WHERE sha256 NOT IN {gone}
                ORDER BY sha256) TO '{_quoted(to)}' (FORMAT parquet)"""
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")

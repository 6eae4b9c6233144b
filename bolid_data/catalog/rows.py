"""Writes rows to DuckDB and reads them."""

from datetime import UTC, datetime
from typing import Any

import duckdb


def upsert(con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Inserts rows (dicts by column), replacing those with the same primary key."""
    insert(con, table, rows, "OR REPLACE ")


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]], conflict: str = "") -> None:
    if rows:
        # One statement with the rows as a parameter: executemany takes 25 times as long.
        con.execute(
            f"INSERT {conflict}INTO {table} BY NAME SELECT row.* FROM (SELECT unnest($rows) AS row)",
            {"rows": rows},
        )


def dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """A result's rows as dicts by column."""
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def utc_now() -> datetime:
    """The current time as the catalog stores it: naive UTC, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

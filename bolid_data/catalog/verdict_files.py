"""Verdicts of another dataset: from its catalog, or from the measurements of a lock. Either may be a stranger's."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from bolid_data.catalog.connection import FILES, Connection
from bolid_data.catalog.rows import first_line
from bolid_data.errors import UsageError

Verdict = tuple[str, str, bool, list[str]]

_BATCH = 10_000

# Anything else is no verdict, and is ignored.
_SOUND = """regexp_full_match(person, '[a-z0-9_-]{1,80}') AND regexp_full_match(sha256, '[0-9a-f]{64}')
AND kept IS NOT NULL AND len(list_filter(reasons, lambda reason: NOT regexp_full_match(reason, '[a-z_]{1,40}'))) = 0"""


def stored_verdicts(catalog: Connection) -> Iterator[Verdict]:
    """The verdicts of another dataset's catalog, which is open until the last one was taken."""
    with catalog.open(read_only=True) as con:
        yield from _rows(con.execute(f"SELECT person, sha256, kept, coalesce(reasons, []) FROM judged WHERE {_SOUND}"))


def locked_verdicts(measurements: Path) -> Iterator[Verdict]:
    """The verdicts in a lock's `measurements.parquet`. Raises UsageError for a file that holds none."""
    name = str(measurements).replace("'", "''")
    with duckdb.connect(config=FILES) as con:
        con.execute("SET memory_limit = '2GB'")  # a small file may unpack to a large table
        try:
            rows = con.execute(
                f"""SELECT person, sha256, kept, coalesce(reasons, []) FROM (
                    SELECT sha256, row.* FROM (SELECT sha256, unnest(verdicts) AS row FROM read_parquet('{name}'))
                ) WHERE {_SOUND}"""
            )
            yield from _rows(rows)
        except duckdb.Error as error:
            raise UsageError(f"{measurements}: not what `bolid shard` writes ({first_line(error)})") from error


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[Verdict]:
    while rows := result.fetchmany(_BATCH):
        yield from rows

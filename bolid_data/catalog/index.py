"""The shards' index (`shards/index.duckdb`), a database of its own so that training needs no catalog."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.catalog.rows import insert
from bolid_data.errors import UsageError

_INDEX = """
CREATE TABLE samples (
    key VARCHAR PRIMARY KEY, person VARCHAR, sha256 VARCHAR, split VARCHAR, shard VARCHAR, "offset" BIGINT, size BIGINT,
    width INTEGER, height INTEGER, caption VARCHAR, keypoints FLOAT[3][17]
);
CREATE TABLE shards (shard VARCHAR PRIMARY KEY, sha256 VARCHAR, bytes BIGINT, samples INTEGER, split VARCHAR);
CREATE TABLE sources (sha256 VARCHAR, url VARCHAR);
"""


class Index:
    """A new index, in place of any that is there."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._con = duckdb.connect(path)
        self._con.execute(_INDEX)

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        insert(self._con, table, rows)

    def close(self) -> None:
        self._con.close()


def read_index(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the shards' index with its table's name, sorted. Raises UsageError when it is no such index."""
    try:
        with duckdb.connect(path, read_only=True) as con:
            for table in ("samples", "shards", "sources"):
                found = con.execute(f"FROM {table} ORDER BY ALL")
                names = [column[0] for column in found.description or ()]
                while rows := found.fetchmany(1000):
                    yield from ((table, dict(zip(names, row, strict=True))) for row in rows)
    except duckdb.Error as error:
        raise UsageError(f"{path}: no index of shards can be read from it; run `bolid shard`") from error

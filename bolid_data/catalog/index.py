"""What goes into shards, and their index (`shards/index.duckdb`), a database of its own so that training needs no
catalog."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.catalog.connection import Connection
from bolid_data.catalog.rows import dicts, insert
from bolid_data.errors import UsageError

_INDEX = """
CREATE TABLE samples (
    key VARCHAR PRIMARY KEY, person VARCHAR, sha256 VARCHAR, split VARCHAR, shard VARCHAR, "offset" BIGINT, size BIGINT,
    width INTEGER, height INTEGER, caption VARCHAR, keypoints FLOAT[3][17],
    made VARCHAR  -- as_is | stripped (without what a decoder does not need) | converted (encoded anew)
);
CREATE TABLE shards (shard VARCHAR PRIMARY KEY, sha256 VARCHAR, bytes BIGINT, samples INTEGER, split VARCHAR);
CREATE TABLE sources (sha256 VARCHAR, url VARCHAR);
"""


class Sharded(Connection):
    def kept_photos(self, people: Sequence[str]) -> list[dict[str, Any]]:
        """Kept, captioned photos of people (person, sha256, caption, keypoints of the most certain person), in the
        order of `people`, then by sha256."""
        with self.open() as con:
            return dicts(
                con.execute(
                    """WITH mine AS (
                           SELECT person, sha256, caption
                           FROM verdicts JOIN (FROM captioned JOIN captioner USING (model, prompt)) USING (sha256)
                           WHERE kept AND caption IS NOT NULL AND list_contains($people, person)
                       ),
                       seen AS (
                           SELECT sha256, keypoints FROM detections JOIN judgement ON model = pose
                           WHERE kind = 'person' AND sha256 IN (SELECT sha256 FROM mine)
                           QUALIFY row_number() OVER (PARTITION BY sha256 ORDER BY score DESC, box) = 1
                       )
                       SELECT person, sha256, caption, keypoints FROM mine LEFT JOIN seen USING (sha256)
                       ORDER BY list_position($people, person), sha256""",
                    {"people": list(people)},
                )
            )


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


def indexed_samples(path: Path) -> Iterator[dict[str, Any]]:
    """Every sample of the shards' index, in the order in which they stand in the shards."""
    yield from _streamed(path, 'FROM samples ORDER BY split, shard, "offset"')


def indexed_sources(path: Path) -> Iterator[dict[str, Any]]:
    """Where the samples' photos were seen (sha256, url)."""
    yield from _streamed(path, "FROM sources ORDER BY ALL")


def read_index(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the shards' index with its table's name, sorted. Raises UsageError when it is no such index."""
    for table in ("samples", "shards", "sources"):
        yield from ((table, row) for row in _streamed(path, f"FROM {table} ORDER BY ALL"))


def _streamed(path: Path, query: str) -> Iterator[dict[str, Any]]:
    try:
        with duckdb.connect(path, read_only=True) as con:
            found = con.execute(query)
            names = [column[0] for column in found.description or ()]
            while rows := found.fetchmany(1000):
                yield from (dict(zip(names, row, strict=True)) for row in rows)
    except duckdb.Error as error:
        raise UsageError(f"{path}: no index of shards can be read from it; run `bolid shard`") from error

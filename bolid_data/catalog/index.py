"""What goes into shards, and their index (`shards/index.duckdb`), a database of its own so that training needs no
catalog."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.catalog.connection import Connection
from bolid_data.catalog.rows import dicts, insert
from bolid_data.shard_index import VERSION

_INDEX = """
CREATE TABLE samples (
    key VARCHAR PRIMARY KEY, person VARCHAR, sha256 VARCHAR, split VARCHAR, shard VARCHAR, "offset" BIGINT, size BIGINT,
    width INTEGER, height INTEGER, caption VARCHAR, keypoints FLOAT[3][17],
    made VARCHAR  -- as_is | stripped (without what a decoder does not need) | converted (encoded anew)
);
CREATE TABLE shards (shard VARCHAR PRIMARY KEY, sha256 VARCHAR, bytes BIGINT, samples INTEGER, split VARCHAR);
CREATE TABLE sources (sha256 VARCHAR, url VARCHAR);  -- the address without what may be secret in it
CREATE TABLE ids (name VARCHAR PRIMARY KEY, id VARCHAR);  -- keyed ids of the people and photos here, for runs to keep
CREATE TABLE about (key VARCHAR PRIMARY KEY, value VARCHAR);
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

    def __init__(self, path: Path, key: str, cut_addresses: int = 0) -> None:
        """`key` is the fingerprint of the key of its ids; `cut_addresses` says of how many addresses a part that may be
        secret was left out."""
        path.unlink(missing_ok=True)
        self._con = duckdb.connect(path)
        self._con.execute(_INDEX)
        about = {"schema_version": str(VERSION), "key": key, "addresses_without_secrets": str(cut_addresses)}
        self.add("about", [{"key": name, "value": value} for name, value in about.items()])

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        insert(self._con, table, rows)

    def close(self) -> None:
        self._con.close()

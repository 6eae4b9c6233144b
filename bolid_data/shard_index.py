"""Reads the shards' index (`shards/index.duckdb`). It may come from a stranger: every row is checked before it is used,
and it cannot make DuckDB open another file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NotRequired

import duckdb
from duckdb import ColumnExpression, ConstantExpression
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from bolid_data.errors import UsageError
from bolid_data.fields import (
    MAX_SAMPLE,
    Count,
    Finite,
    KeyedId,
    Keypoints,
    Offset,
    SampleKey,
    Sha256,
    ShardName,
    Side,
    Slug,
    SplitName,
    Words,
)
from bolid_data.paths import regular_file
from bolid_data.versions import refuse_newer

VERSION = 2
"""1: the indexes of BoLID 0.1, which have no version and no keyed ids."""

MAX_ROWS = 50_000_000
_BATCH = 1000
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
}

_MAX_NAMES = 100
MAPS = ("captions", "measures")
"""MAP columns of samples."""
_ADDED = {"captions", "measures", "rotation"}
"""Columns of samples that older indexes lack."""

CaptionSource = Annotated[str, Field(min_length=1, max_length=21_002)]
"""The source of a caption: a model's id, `hand` or `sidecar`; followed by a colon and its prompt or name, if any."""
MeasureName = Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")]

_MADE = r"^(as_is|stripped|converted(: [a-z0-9 ,]{1,80})?)$"


class SampleRow(TypedDict):
    key: SampleKey
    person: Slug
    sha256: Sha256
    split: SplitName
    shard: ShardName
    offset: Offset
    size: Annotated[int, Field(ge=512, le=MAX_SAMPLE)]
    width: Side
    height: Side
    caption: Words | None
    keypoints: Keypoints | None
    # Older indexes lack the following.
    made: NotRequired[Annotated[str, Field(pattern=_MADE)] | None]
    captions: NotRequired[Annotated[dict[CaptionSource, Words], Field(max_length=_MAX_NAMES)] | None]
    measures: NotRequired[Annotated[dict[MeasureName, Finite], Field(max_length=_MAX_NAMES)] | None]
    rotation: NotRequired[Annotated[int, Field(ge=0, lt=360)] | None]


class PlaceRow(TypedDict):
    person: Slug
    sha256: Sha256
    split: SplitName
    shard: ShardName


class ShardRow(TypedDict):
    shard: ShardName
    sha256: Sha256
    bytes: Offset
    samples: Count
    split: SplitName


class SourceRow(TypedDict):
    sha256: Sha256
    url: Annotated[str, Field(max_length=8000)]


class IdRow(TypedDict):
    name: Slug | Sha256  # of a person, or of a photo
    id: KeyedId


_TABLES: dict[str, tuple[TypeAdapter[Any], tuple[str, ...]]] = {
    "samples": (TypeAdapter(list[SampleRow]), ("split", "shard", "offset")),
    "shards": (TypeAdapter(list[ShardRow]), ("shard",)),
    "sources": (TypeAdapter(list[SourceRow]), ("sha256", "url")),
    "ids": (TypeAdapter(list[IdRow]), ("name",)),
}


_PLACES = TypeAdapter(list[PlaceRow])


def _is_misplaced(row: SampleRow | PlaceRow) -> bool:
    return not row["shard"].startswith(f"{row['split']}-")


class ShardIndex:
    """An existing index. Raises UsageError, naming the file, if `bolid shard` did not write it."""

    def __init__(self, path: Path) -> None:
        regular_file(path.parent, path.name)
        self.path = path
        with self._open() as con:
            tables = {row[0]: row[1] for row in con.table_function("duckdb_tables").project(
                "table_name, estimated_size").fetchall()}  # fmt: skip
            about = dict(con.table("about").fetchall()) if "about" in tables else {"schema_version": "1"}
        self.tables = tables.keys()
        refuse_newer(path, "shard index", about.get("schema_version"), VERSION)
        self.fingerprint: str | None = about.get("key")
        """Fingerprint of the key of the ids."""
        stated = about.get("addresses_without_secrets", "")
        self.cut_addresses = int(stated) if stated.isdecimal() and len(stated) < 16 else 0
        for table, rows in tables.items():
            if table in _TABLES and rows > MAX_ROWS:
                raise self._bad(f"{table} has {rows} rows")

    def samples(self, split: str | None = None, maps: bool = True) -> Iterator[SampleRow]:
        """Samples in the order of the shards. Without `maps`, `captions` and `measures` are left out, which take twice
        as long to read as the rest."""
        yield from self._rows("samples", split, without=() if maps else MAPS)

    def places(self) -> Iterator[PlaceRow]:
        """Person and shard of every photo, faster than `samples`."""
        yield from self._rows("samples", adapter=_PLACES, columns=tuple(PlaceRow.__annotations__))

    def shards(self) -> list[ShardRow]:
        return list(self._rows("shards"))

    def sources(self) -> Iterator[SourceRow]:
        """The addresses of the samples' photos, without secrets."""
        yield from self._rows("sources")

    def ids(self) -> dict[str, str]:
        """Keyed ids by slug of people and sha256 of photos; empty for an index of version 1."""
        return {row["name"]: row["id"] for row in self._rows("ids")} if "ids" in self.tables else {}

    def all_rows(self, added: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every row with its table's name, sorted, for the digest in a lock. Keyed ids are left out: they depend on the
        key.

        Without `added`, the columns that older indexes lack are left out.
        """
        left_out = set() if added else _ADDED
        for table in ("samples", "shards", "sources"):
            for row in self._rows(table, order=()):
                yield table, {column: value for column, value in row.items() if column not in left_out}

    def write_samples(self, file: Path) -> None:
        """Writes what a sample's own files say of it to a Parquet file, a row per sample, in the order of the shards.
        Raises UsageError for an index that cannot be read without accessing another file."""
        index, table = (str(path.resolve()).replace("'", "''") for path in (self.path, file))
        try:
            with duckdb.connect() as con:
                con.execute(f"SET allowed_paths = ['{index}', '{index}.wal', '{table}']")
                for setting in ("enable_external_access", "autoload_known_extensions"):
                    con.execute(f"SET {setting} = false")
                con.execute(f"ATTACH '{index}' AS shards (READ_ONLY)")
                con.execute(
                    f"""COPY (
                        SELECT key, person, split, shard, sha256, width, height, caption, keypoints
                        FROM shards.samples ORDER BY split, shard, "offset"
                    ) TO '{table}' (FORMAT parquet, USE_TMP_FILE false)"""
                )
        except duckdb.Error as error:
            raise self._bad(str(error).splitlines()[0]) from error

    def _rows(
        self,
        table: str,
        split: str | None = None,
        order: tuple[str, ...] | None = None,
        adapter: TypeAdapter[Any] | None = None,
        columns: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> Iterator[Any]:
        full_row, default_order = _TABLES[table]
        order = default_order if order is None else order
        if table not in self.tables:
            raise self._bad(f"has no table {table}")
        number = 0
        with self._open() as con:
            relation = con.table(table)
            if split is not None:
                relation = relation.filter(ColumnExpression("split") == ConstantExpression(split))
            relation = relation.sort(*map(ColumnExpression, order)) if order else relation.order("ALL")
            if columns or without:
                selected = columns or [column for column in relation.columns if column not in without]
                relation = relation.select(*map(ColumnExpression, selected))
            names = relation.columns
            result = con.execute(relation.sql_query())  # a relation keeps no result between batches
            while rows := result.fetchmany(_BATCH):
                batch = [dict(zip(names, row, strict=True)) for row in rows]
                try:
                    checked = (adapter or full_row).validate_python(batch, strict=True)
                except ValidationError as error:
                    raise self._invalid(table, number, error) from None
                if table == "samples" and (misplaced := next(filter(_is_misplaced, checked), None)):
                    raise self._bad(f"samples: one of split '{misplaced['split']}' is in {misplaced['shard']}")
                yield from checked
                number += len(rows)

    def _invalid(self, table: str, first: int, error: ValidationError) -> UsageError:
        problem = error.errors(include_url=False, include_input=False)[0]
        row, *place = problem["loc"]
        return self._bad(f"{table}, row {first + int(row) + 1}: {'.'.join(map(str, place))}: {problem['msg']}")

    def _bad(self, what: str) -> UsageError:
        return UsageError(f"{self.path}: {what}; `bolid shard` writes no such index")

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with duckdb.connect(self.path, read_only=True, config=_CONFIG) as con:
                yield con
        except (duckdb.Error, UnicodeDecodeError) as error:
            first = str(error).splitlines()[0]
            raise UsageError(
                f"{self.path} cannot be read as an index of shards ({first}); run `bolid shard`"
            ) from error

"""Connections to the catalog. It is open only while a batch is read or committed, so that `status` and a user's DuckDB
can open it in between."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from bolid_data.catalog.faults import is_in_use, opening_error, reading_error
from bolid_data.catalog.schema import VERSION, read_older, upgrade
from bolid_data.errors import BolidError, DamagedCatalogError, UsageError
from bolid_data.paths import private_folder
from bolid_data.versions import refuse_newer

LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process to close the catalog."""

NO_FILES: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false", "autoload_known_extensions": "false",
}  # fmt: skip
"""A database may come from a stranger, and its views and macros could read any file on this machine."""

FILES: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": "false"}
"""Otherwise DuckDB would download an extension if there is an SQLite database at the catalog's path."""

KEYS_PER_TRANSACTION = 50_000
"""Rows whose keys `damage` looks up in one transaction, which takes about a second and copies the rows."""


class Connection:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._version_is_known = False

    def create(self) -> None:
        """Creates the catalog, or upgrades one of an earlier version."""
        private_folder(self.path.parent)
        with self.open() as con:
            upgrade(con)

    def require(self) -> None:
        """Raises UsageError if there is no catalog yet."""
        if not self.path.exists():
            if (self.path.parent / "dataset.lock.json").exists():
                raise UsageError(f"{self.path}: missing; `bolid repair` builds it again from the lock")
            raise UsageError(f"{self.path}: no such catalog; run `bolid scrape` first, or name its folder with --data")

    @contextmanager
    def open(self, read_only: bool = False, files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one short batch: one transaction, committed if the block ends without an error.

        It can access no other file unless `files`. Waits up to LOCK_TIMEOUT seconds for other processes. Raises
        UsageError if there is no catalog to read, or a newer bolid wrote it.
        """
        if read_only:
            self.require()
        con = self.connect(read_only, files)
        try:
            self._check_version(con)
            if read_only:
                read_older(con)
            con.execute("BEGIN")
            yield con
            con.execute("COMMIT")
        except duckdb.Error as error:
            if explained := reading_error(self.path, error):
                raise explained from error
            raise
        finally:
            con.close()

    def damage(self) -> str | None:
        """What is wrong with the catalog's file, as in "is truncated"; None if every row can be read, also by its key.
        The catalog is not changed.

        Raises BolidError for problems other than damage: another program has it open, another version wrote it, or its
        write-ahead log does not match.
        """
        if not self.path.exists():
            return "is missing"
        try:
            self._read_rows()
        except DamagedCatalogError as error:
            return error.damage
        try:
            self._look_up_keys()
        except DamagedCatalogError as error:
            return f"{error.damage}; every row can be read, an index of their keys cannot"
        return None

    def copy_rows(self, to: Path) -> bool:
        """Copies a damaged catalog to a new, undamaged file, if all of its rows can be read. Returns whether they
        can."""
        try:
            self._read_rows()
            with duckdb.connect(config=FILES) as con:
                con.execute(f"ATTACH {_string(self.path)} AS damaged (READ_ONLY)")
                con.execute(f"ATTACH {_string(to)} AS fresh")
                con.execute("COPY FROM DATABASE damaged TO fresh")
        except (BolidError, duckdb.Error):
            return False
        return True

    def _read_rows(self) -> None:
        """Reads every column of every table. Raises DamagedCatalogError naming the tables that cannot be read."""
        with self.open(read_only=True) as con:
            tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY ALL").fetchall()
        unreadable: dict[str, str] = {}
        for (table,) in tables:
            try:
                with self.open(read_only=True) as con:
                    con.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {_identifier(table)}")
            except DamagedCatalogError as error:
                unreadable[table] = error.damage
        if unreadable:
            first = next(iter(unreadable.values()))
            raise DamagedCatalogError(self.path, f"{first}; tables that cannot be read: {', '.join(unreadable)}")

    def _look_up_keys(self) -> None:
        """Looks up the key of every row. Reading a table does not use its index, so the same keys are written again, in
        transactions that are rolled back."""
        with self.open(read_only=True) as con:
            keys = con.execute(
                """SELECT table_name, constraint_column_names[1] FROM duckdb_constraints()
                   WHERE constraint_type = 'PRIMARY KEY' ORDER BY ALL"""
            ).fetchall()
            ends = [
                con.execute(f"SELECT coalesce(max(rowid) + 1, 0) FROM {_identifier(table)}").fetchall()[0][0]
                for table, _ in keys
            ]
        for (table, column), end in zip(keys, ends, strict=True):
            name, key = _identifier(table), _identifier(column)
            for start in range(0, end, KEYS_PER_TRANSACTION):
                with self.open() as con:
                    rows = [start, start + KEYS_PER_TRANSACTION]
                    con.execute(f"UPDATE {name} SET {key} = {key} WHERE rowid >= $1 AND rowid < $2", rows)
                    con.execute("ROLLBACK")
                    con.execute("BEGIN")

    def _check_version(self, con: duckdb.DuckDBPyConnection) -> None:
        if self._version_is_known:
            return
        if con.execute("FROM duckdb_tables() WHERE table_name = 'about' AND NOT temporary").fetchone():
            row = con.execute("SELECT value FROM about WHERE key = 'schema_version'").fetchone()
            refuse_newer(self.path, "catalog", row and row[0], VERSION)
        self._version_is_known = True

    def connect(self, read_only: bool, files: bool = False) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                return duckdb.connect(self.path, read_only=read_only, config=FILES if files else NO_FILES)
            except duckdb.Error as error:
                if not is_in_use(self.path, error):
                    raise opening_error(self.path, error) from error
                if time.monotonic() > deadline:
                    raise BolidError(
                        f"{self.path}: another program kept it open for {LOCK_TIMEOUT:.0f} s; close it"
                    ) from error
            # Waiting processes must not retry in step; a person may be waiting for what is only read.
            time.sleep(random.uniform(0.02, 0.08 if read_only else 0.25))


class Part:
    """One concern of the catalog. Every method is one short batch."""

    def __init__(self, catalog: Connection) -> None:
        self._catalog = catalog


def _identifier(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _string(path: Path) -> str:
    """A path quoted for SQL."""
    return "'" + str(path).replace("'", "''") + "'"

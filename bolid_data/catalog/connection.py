"""The catalog is open only while a batch is read or committed, so that `status` and a person's own DuckDB get in
between."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import stamina
from stamina.instrumentation import set_on_retry_hooks

from bolid_data.catalog.rows import first_line
from bolid_data.catalog.schema import SCHEMA, VERSION
from bolid_data.errors import BolidError, UsageError
from bolid_data.paths import private_folder
from bolid_data.versions import refuse_newer

PATIENCE = 30.0
"""Seconds an opener waits for another process to close the catalog."""

set_on_retry_hooks([])  # waiting for a turn at the catalog is not news

NO_FILES: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false", "autoload_known_extensions": "false",
}  # fmt: skip
"""A database may come from a stranger, and its views and macros could read any file of this machine."""


class Connection:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._version_is_known = False

    def create(self) -> None:
        """Makes a new catalog, or gives one of an earlier version what it lacks."""
        private_folder(self.path.parent)
        with self.open() as con:
            con.execute(SCHEMA)

    def require(self) -> None:
        """Raises UsageError when there is no catalog yet."""
        if not self.path.exists():
            raise UsageError(f"{self.path}: no such catalog; run `bolid scrape` first, or name its folder with --data")

    @contextmanager
    def open(self, read_only: bool = False, files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one short batch: one transaction, committed when the block ends without an error.

        It reaches no other file unless `files`. Waits up to PATIENCE seconds for its turn. Raises UsageError when there
        is no catalog to read, or a newer bolid wrote it.
        """
        if read_only:
            self.require()
        con = self._connect(read_only, files)
        try:
            self._check_version(con)
            con.execute("BEGIN")
            yield con
            con.execute("COMMIT")
        except (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
            raise BolidError(f"{self.path}: {first_line(error)}; nothing committed before is lost") from error
        except (duckdb.BinderException, duckdb.CatalogException) as error:  # a column or table that is not there
            raise BolidError(
                f"{self.path}: written by another version ({first_line(error)}); `bolid filter` brings it up to date"
            ) from error
        finally:
            con.close()

    def _check_version(self, con: duckdb.DuckDBPyConnection) -> None:
        if self._version_is_known:
            return
        if con.execute("FROM duckdb_tables() WHERE table_name = 'about' AND NOT temporary").fetchone():
            row = con.execute("SELECT value FROM about WHERE key = 'schema_version'").fetchone()
            refuse_newer(self.path, "catalog", row and row[0], VERSION)
        self._version_is_known = True

    def _connect(self, read_only: bool, files: bool = False) -> duckdb.DuckDBPyConnection:
        def locked(error: Exception) -> bool:
            return isinstance(error, duckdb.IOException) and "lock" in str(error).lower()

        try:
            for attempt in stamina.retry_context(
                on=locked, attempts=None, timeout=PATIENCE, wait_initial=0.02, wait_max=0.25, wait_jitter=0.05
            ):
                with attempt:
                    return duckdb.connect(self.path, read_only=read_only, config={} if files else NO_FILES)
        except duckdb.IOException as error:
            if locked(error):
                raise BolidError(f"{self.path}: another program kept it open for {PATIENCE:.0f} s; close it") from error
            raise BolidError(f"{self.path}: cannot be opened ({first_line(error)})") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

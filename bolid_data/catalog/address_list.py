"""Lists of addresses that people bring."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.catalog.rows import first_line
from bolid_data.errors import UsageError


class AddressList:
    """A CSV or Parquet file with columns person, url, of any length: it is streamed, never held.

    Raises UsageError for a file that cannot be read so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        read = (
            "read_parquet($path)"
            if path.suffix.lower() in (".parquet", ".pq")
            else ("read_csv($path, header = true, all_varchar = true, null_padding = true)")
        )
        self._rows = f"(SELECT CAST(person AS VARCHAR) AS person, trim(CAST(url AS VARCHAR)) AS url FROM {read})"

    def people(self) -> Iterator[tuple[str, int]]:
        """Names in the order of their first address, each with how many addresses it has."""
        # row_number over nothing numbers the rows in the file's order.
        for rows in self._stream(
            f"""SELECT person, count(*) FROM (SELECT *, row_number() OVER () AS place FROM {self._rows})
                WHERE person IS NOT NULL AND url IS NOT NULL GROUP BY person ORDER BY min(place)"""
        ):
            yield from rows

    def batches(self, size: int = 10_000) -> Iterator[list[tuple[str, str]]]:
        """(person, url) in the file's order."""
        return self._stream(f"SELECT person, url FROM {self._rows} WHERE person IS NOT NULL AND url IS NOT NULL", size)

    def _stream(self, query: str, size: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
        try:
            with duckdb.connect(config={"threads": 1}) as con:
                found = con.execute(query, {"path": str(self.path)})
                while rows := found.fetchmany(size):
                    yield rows
        except duckdb.Error as error:
            raise UsageError(
                f"source.path: {self.path}: no list of columns person, url can be read from it ({first_line(error)})"
            ) from error

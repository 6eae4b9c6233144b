"""Lists of addresses that people bring."""

from collections import Counter
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
        parquet = path.suffix.lower() in (".parquet", ".pq")
        # Small buffers: the file is read once, from its beginning to its end.
        csv = "read_csv($path, header = true, all_varchar = true, null_padding = true, buffer_size = 4200000)"
        self._read = "read_parquet($path)" if parquet else csv

    def people(self) -> dict[str, int]:
        """Names in the order of their first address, each with how many addresses it has."""
        people: Counter[str] = Counter()
        for rows in self.batches():
            people.update(person for person, _ in rows)
        return people

    def batches(self, size: int = 10_000) -> Iterator[list[tuple[str, str]]]:
        """(person, url) in the file's order."""
        return self._stream(
            f"""SELECT CAST(person AS VARCHAR), trim(CAST(url AS VARCHAR)) FROM {self._read}
                WHERE person IS NOT NULL AND url IS NOT NULL""",
            size,
        )

    def _stream(self, query: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        try:
            with duckdb.connect(config={"threads": 1}) as con:
                con.execute("SET streaming_buffer_size = '1MB'")
                found = con.execute(query, {"path": str(self.path)})
                while rows := found.fetchmany(size):
                    yield rows
        except duckdb.Error as error:
            raise UsageError(
                f"source.path: {self.path}: no list of columns person, url can be read from it ({first_line(error)})"
            ) from error

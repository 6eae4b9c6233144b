"""Reads addresses lists."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from bolid_data.catalog.rows import first_line
from bolid_data.errors import UsageError

MAX_SHOWN = 10
"""Invalid rows that are kept for messages; the others are only counted."""

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""UTF-32 before UTF-16, whose mark is a prefix of that of UTF-32."""
_DELIMITERS = ",;\t|"
_MAX_FIELD = 1_000_000
_CHUNK = 1 << 20


@dataclass
class BadRows:
    """Invalid rows: their number, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, line: int, problem: str) -> None:
        self.count += 1
        if len(self.first) < MAX_SHOWN:
            self.first.append(f"line {line}: {problem}")


class AddressList:
    """A CSV or Parquet file with columns person, url, of any length: it is streamed, never held in memory.

    Raises UsageError for a file that cannot be read. `bad` are the invalid rows of the last pass.
    """

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        """`encoding` is that of a CSV file without a byte order mark."""
        self.path, self.bad, self._encoding = path, BadRows(), encoding

    def people(self) -> dict[str, int]:
        """Names in the order of their first address, each with its number of addresses."""
        people: Counter[str] = Counter()
        for rows in self.batches():
            people.update(person for person, _ in rows)
        return people

    def batches(self, size: int = 10_000) -> Iterator[list[tuple[str, str]]]:
        """(person, url) in the file's order."""
        self.bad = BadRows()
        batch: list[tuple[str, str]] = []
        for row in self._parquet() if self.path.suffix.lower() in (".parquet", ".pq") else self._csv():
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _csv(self) -> Iterator[tuple[str, str]]:
        try:
            with self.path.open("rb") as raw:
                start = raw.read(4)
                encoding = next((name for bom, name in _BOMS.items() if start.startswith(bom)), self._encoding)
                raw.seek(0)
                yield from self._rows(io.TextIOWrapper(raw, encoding, newline=""))
        except UnicodeDecodeError:
            position, byte = _undecodable(self.path, encoding)
            raise self._error(
                f"byte {position} (0x{byte:02x}) is not valid {encoding}; name the file's encoding in [source] encoding"
            ) from None
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def _rows(self, text: io.TextIOWrapper) -> Iterator[tuple[str, str]]:
        header = text.readline()
        delimiter = max(_DELIMITERS, key=header.count)
        names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
        if not {"person", "url"} <= set(names):
            raise self._error(f"its first line is {header.strip()[:80]!r}")
        person, url = names.index("person"), names.index("url")
        csv.field_size_limit(_MAX_FIELD)
        reader = csv.reader(text, delimiter=delimiter)
        while True:
            line = reader.line_num + 2  # where the row begins
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.bad.add(line, str(error))
                continue
            if not row:
                continue
            if len(row) > len(names):
                problem = f"{len(row)} fields where the header has {len(names)}; quote fields with a '{delimiter}'"
                self.bad.add(line, problem)
            elif max(person, url) >= len(row) or not row[person].strip() or not row[url].strip():
                self.bad.add(line, "has no person, or no address")
            else:
                yield row[person], row[url].strip()

    def _parquet(self) -> Iterator[tuple[str, str]]:
        try:
            with duckdb.connect(config={"threads": 1}) as con:
                con.execute("SET streaming_buffer_size = '1MB'")
                described = con.execute("DESCRIBE FROM read_parquet($path)", {"path": str(self.path)}).fetchall()
                kinds = {name.lower(): (name, kind) for name, kind, *_ in described}
                columns = ", ".join(_as_text(*kinds[name]) for name in ("person", "url"))
                result = con.execute(f"SELECT {columns} FROM read_parquet($path)", {"path": str(self.path)})
                number = 0
                while rows := result.fetchmany(10_000):
                    for person, url in rows:
                        number += 1
                        if person and url and person.strip() and url.strip():
                            yield person, url.strip()
                        else:
                            self.bad.add(number, "has no person, or no address")
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise self._error(first_line(error)) from error
        except KeyError:
            raise self._error(f"its columns are {', '.join(kinds) or 'none'}") from None

    def _error(self, what: str) -> UsageError:
        return UsageError(f"source.path: {self.path}: not a list with columns person, url ({what})")


def _as_text(name: str, kind: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    return f"decode({column})" if kind == "BLOB" else f"CAST({column} AS VARCHAR)"


def _undecodable(path: Path, encoding: str) -> tuple[int, Any]:
    """Position and value of the first byte of a file that is not valid in its encoding."""
    decoder, position = codecs.getincrementaldecoder(encoding)(), 0
    with path.open("rb") as file:
        while True:
            pending = decoder.getstate()[0]
            chunk = file.read(_CHUNK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                data = pending + chunk
                return position - len(pending) + error.start, data[error.start] if error.start < len(data) else 0
            if not chunk:
                return position, 0
            position += len(chunk)

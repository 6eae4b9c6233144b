"""The results page, rewritten with every row, so that a run that is killed leaves all it has measured."""

import time
from pathlib import Path

from bolid_data.atomic_io import write_text


class Table:
    """Rows below one heading."""

    def __init__(self, page: "Page", columns: tuple[str, ...]) -> None:
        self._page, self._columns = page, columns
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: object) -> None:
        """Adds a row, prints it and rewrites the page."""
        row = tuple(map(str, cells))
        self._rows.append(row)
        self._page.report(" | ".join(row))

    def __str__(self) -> str:
        rows = (self._columns, ("---",) * len(self._columns), *self._rows)
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


class Page:
    """Markdown of headings, tables and notes, in the order in which they were added."""

    def __init__(self, path: Path, title: str, introduction: str) -> None:
        self._path, self._blocks = path, [f"# {title}", introduction]
        self._tables: dict[int, Table] = {}
        self._started_at = time.monotonic()
        self._write()

    def heading(self, text: str) -> None:
        self._blocks.append(f"## {text}")
        self.report(text)

    def note(self, text: str) -> None:
        self._blocks.append(text)
        self.report(text)

    def table(self, *columns: str) -> Table:
        table = Table(self, columns)
        self._tables[len(self._blocks)] = table
        self._blocks.append("")
        return table

    def report(self, line: str) -> None:
        """Prints a line with the time since the start and rewrites the page."""
        print(f"[{time.monotonic() - self._started_at:6.1f} s] {line}", flush=True)
        self._write()

    def _write(self) -> None:
        blocks = [str(self._tables.get(number, text)) for number, text in enumerate(self._blocks)]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, "\n\n".join(blocks) + "\n")

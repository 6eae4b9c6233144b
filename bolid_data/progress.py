"""Progress on stderr: a bar with an ETA on a terminal, nothing elsewhere. And the loggers, which write nothing unless
a command is given `--log` or `-v`."""

import logging
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import TimeRemainingColumn as Eta

from bolid_data.printable import one_line

console = Console(stderr=True)

LOG = logging.getLogger("bolid")
"""Requests and what came of them."""
NOTES = logging.getLogger("bolid.notes")
"""What `note` prints."""


def bar(*extra: ProgressColumn | str) -> Progress:
    """A progress display, to be used as a context manager; `extra` columns are placed before the times."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *extra, TimeElapsedColumn(), Eta(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip


def track(numbers: Sequence[int], description: str) -> Iterator[int]:
    """Yields the numbers, with a bar on a terminal."""
    with bar() as progress:
        task = progress.add_task(description, total=len(numbers))
        for number in numbers:
            yield number
            progress.advance(task)


def note(message: str) -> None:
    """Prints one plain line to stderr."""
    console.print(one_line(message), highlight=False, markup=False, soft_wrap=True)
    NOTES.info("%s", message)

"""The log of `--log FILE` and `-v`: requests, results and notes, each with its time and address."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bolid_data.errors import UsageError
from bolid_data.printable import one_line
from bolid_data.progress import LOG, NOTES, console

LogFile = Annotated[
    Path | None,
    typer.Option("--log", help="Append every request, result and message to this file, with time and address."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the same on stderr.")]


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z {one_line(record.getMessage())}"


class _OnTerminal(logging.Handler):
    """Prints above a progress display, if there is one. Notes are printed already."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != NOTES.name:
            console.print(self.format(record), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def logging_to(file: Path | None, verbose: bool) -> Iterator[None]:
    """Writes the log while a command runs. The file is its owner's alone, as it names addresses.

    Raises UsageError for a file that cannot be written.
    """
    handlers: list[logging.Handler] = [_OnTerminal()] if verbose else []
    if file:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(f"--log {file}: cannot be written ({error.strerror})") from error
        handlers.append(logging.StreamHandler(os.fdopen(descriptor, "a", encoding="utf-8")))
    for handler in handlers:
        handler.setFormatter(_Line())
        LOG.addHandler(handler)
    if handlers:
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
    try:
        yield
    finally:
        for handler in handlers:
            LOG.removeHandler(handler)
            if isinstance(handler, logging.StreamHandler):
                handler.stream.close()
        LOG.setLevel(logging.NOTSET)
        LOG.propagate = True

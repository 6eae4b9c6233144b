"""Commands as a person types them, run in this process: what they import is imported once."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from bolid import cli


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def bolid(command: str, *arguments: str | Path, cwd: Path) -> Done:
    """Runs `bolid COMMAND ARGUMENTS…` in a folder, with no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["bolid", command, *map(str, arguments)]),
        mock.patch.object(sys, "stdin", io.StringIO()),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())

"""Versions of the files that outlive the program: catalog, index, lock, adapter.json."""

from pathlib import Path
from typing import Any

from bolid_data.errors import UsageError


class NewerVersionError(UsageError):
    """A file written by a later version of this program."""


def refuse_newer(path: Path | str, what: str, version: Any, newest: int) -> None:
    """Raises NewerVersionError for a version above `newest`, and UsageError for an invalid one."""
    try:
        number = int(version)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number > newest:
        raise NewerVersionError(
            f"{path}: a {what} of version {number}, and this bolid reads up to {newest}; update bolid"
        )
    if number < 1:
        raise UsageError(f"{path}: a {what} of version {version!r}; this bolid reads versions 1 to {newest}")

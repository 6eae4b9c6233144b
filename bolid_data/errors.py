"""The ways in which a command can fail; `bolid/cli.py` turns each into a line on stderr and an exit code."""

from pathlib import Path


class BolidError(Exception):
    """The job failed (exit code 1). The message says what, where, and what to do."""

    exit_code = 1


class UsageError(BolidError):
    """Bad usage or a bad manifest, also one that names a missing file or folder (exit code 2)."""

    exit_code = 2


class ManifestError(UsageError):
    """A manifest has mistakes, all of which are named."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class StoppedError(BolidError):
    """The user stopped the command with Ctrl-C."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("stopped; finished work is kept, and the same command continues")


class BusyError(BolidError):
    """Another command holds the dataset; the same call succeeds once that has ended."""


class DamagedCatalogError(BolidError):
    """The file of a catalog is damaged; `damage` says how, as in "is truncated"."""

    def __init__(self, path: Path, damage: str) -> None:
        super().__init__(
            f"{path}: {damage}; `bolid repair` builds it again from the lock, the measurements and the photos"
        )
        self.damage = damage

"""The two ways a command can fail; `bolid/cli.py` turns either into one line on stderr and an exit code."""


class BolidError(Exception):
    """The job failed (exit code 1). The message says what, where, and what to do."""

    exit_code = 1


class UsageError(BolidError):
    """Bad usage or a bad manifest, a missing file or folder it names included (exit code 2)."""

    exit_code = 2

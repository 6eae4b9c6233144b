"""`python -m benchmarks.parity [DIR]`: one line for each fixture, with its largest difference.

DIR holds a folder for each system, or is the folder of one system, which then names the system. Exits with 1 if a
difference is too large, with 2 if there is no fixture.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.parity.run import FIXTURES, Outcome, run


def main(arguments: list[str] | None = None) -> int:
    """Prints the outcomes, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FIXTURES, metavar="DIR")
    folder = parser.parse_args(arguments).folder
    outcomes: list[Outcome] = []
    for outcome in run(folder):
        print(outcome.line(), flush=True)
        outcomes.append(outcome)
    if not outcomes:
        print(f"{folder}: no fixtures (SYSTEM/CASE.safetensors)", file=sys.stderr)
        return 2
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

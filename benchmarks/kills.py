"""One crawl, killed repeatedly at random instants: `python -m benchmarks.kills --kills 20`."""

import argparse
import sys

from tests.support.killed_crawl import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.exit(main(arguments.kills, arguments.seed))

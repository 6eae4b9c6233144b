"""`python -m small_world.check [PART …] [--world 3d] [--write FILE]`: measures a world's models, a table a part."""

import argparse
import importlib
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from small_world.worlds import FLAT, WORLD_3D, WORLDS

PARTS = ("vae", "base", "clip", "image_encoder", "keypoints", "attributes", "body", "estimates")
_TITLES = {FLAT.name: "The small world", WORLD_3D.name: "The small world in three dimensions"}


def main() -> None:
    """Measures each part, prints its figures, and writes them all as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--world", choices=WORLDS, default=FLAT.name, help="default: flat")
    parser.add_argument("--write", type=Path, help="a Markdown file for the tables")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    world = WORLDS[arguments.world]
    console, written = Console(), [f"# {_TITLES[world.name]}, measured\n", "Written by `make world-check`.\n"]
    for part in arguments.parts or PARTS:
        started = time.monotonic()
        figures = importlib.import_module(f"small_world.check.{part}").check(world)
        table = Table("figure", "value", title=f"{part} ({time.monotonic() - started:.0f} s)")
        for name, value in figures.items():
            table.add_row(name, f"{value:.4g}")
        console.print(table)
        rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
        written.append(f"## {part}\n\n| figure | value |\n| --- | --- |\n{rows}\n")
    if arguments.write:
        arguments.write.write_text("\n".join(written), encoding="utf-8")


if __name__ == "__main__":
    main()

"""`python -m small_world.check [PART …] [--world 3d] [--write FILE]`: measures a world's models, a table a part."""

import argparse
import importlib
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from small_world.worlds import FLAT, WORLD_3D, WORLDS

_OF_BOTH = ("vae", "base", "clip", "image_encoder", "keypoints", "attributes", "body", "estimates")
PARTS = {FLAT.name: _OF_BOTH, WORLD_3D.name: (*_OF_BOTH, "memorization", "shape", "silhouette")}
_TITLES = {FLAT.name: "The small world", WORLD_3D.name: "The small world in three dimensions"}
_COMMANDS = {FLAT.name: "make world-check", WORLD_3D.name: "make world-3d-check"}


def main() -> None:
    """Measures each part, prints its figures, and writes them all as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of the world's by default")
    parser.add_argument("--world", choices=WORLDS, default=FLAT.name, help="default: flat")
    parser.add_argument("--write", type=Path, help="a Markdown file for the tables")
    arguments = parser.parse_args()
    world = WORLDS[arguments.world]
    parts = PARTS[world.name]
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    console, written = Console(), [f"# {_TITLES[world.name]}, measured\n", f"Written by `{_COMMANDS[world.name]}`.\n"]
    for part in arguments.parts or parts:
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

"""The table of the committed adapters: `python -m small_world.table`, or `make table`.

Draws the two test sets into `data/table`, measures `small_world/adapters/` on them, and compares with
`docs/table.json`: every mean has to lie in the interval that stands there. How long a picture takes is the machine's
own and not compared. With `--write`, what is measured takes the place of what stands in `docs`.
"""

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bolid_data import manifest
from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest
from bolid_data.progress import note
from bolid_train.evaluate.image_generator import Sampling
from bolid_train.evaluate.run import evaluate
from bolid_train.evaluate.table import write_table
from small_world.dataset import write_dataset
from small_world.experiments import MANIFEST
from small_world.halve import ADAPTERS

SETS = {"A": "test_a", "B": "test_b"}
"""Name of a set in the table → its split of the small world: clothes and places as in training, and others."""

DOCS = MANIFEST.parents[1] / "docs"

Row = dict[str, Any]

_SLACK = {"failures": 1.0}
"""Metric → how far beside the interval a mean may be: last digits differ between machines, and where no picture of 256
has failed the interval has no width."""


@dataclass
class Table:
    """What was measured on all sets."""

    rows: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # note → sets that it is true of
    grids: dict[str, Path] = field(default_factory=dict)  # set → pictures

    def write(self, folder: Path) -> None:
        """Writes `table.json`, `differences.json`, `table.md` and a `grid-….png` for each set."""
        write_table(
            self.rows, self.differences, [f"{', '.join(of)}: {what}" for what, of in self.notes.items()], folder
        )
        for name, grid in self.grids.items():
            shutil.copyfile(grid, folder / f"grid-{name.lower()}.png")


def draw(work: Path) -> dict[str, Path]:
    """Opens the test sets: set → its dataset's folder."""
    folders = {name: work / name.lower() for name in SETS}
    for name, folder in folders.items():
        write_dataset(folder, [SETS[name]], open_test_sets=True)
    return folders


def measure(
    loaded: Manifest,
    folders: Mapping[str, Path],
    runs: Path,
    split: str = "test",
    views: Sequence[int] = (0, 1, 8),
    how: Sampling | None = None,
) -> Table:
    """Measures the runs in the folder `runs` on a split of each of the datasets in `folders`, by the names of the sets.
    Raises what `evaluate` raises."""
    table = Table()
    for name, folder in folders.items():
        found = evaluate(loaded, folder, (), split, views, sampling=how, open_test_sets=True, runs_in=runs)
        before = f"{folder.resolve().name}/{split}"
        for rows, joined in ((found["rows"], table.rows), (found["differences"], table.differences)):
            joined += [row | {"set": row["set"].replace(before, name, 1)} for row in rows]
        for what in found["notes"]:
            table.notes[what].append(name)
        table.grids[name] = Path(found["folder"]) / "grid.png"
        note(f"table: set {name} took {found['seconds']:.0f} s")
    return table


def compare(measured: Sequence[Row], committed: Sequence[Row]) -> Iterator[str]:
    """A line for every mean that is not in its committed interval, and for every row that only one of them has."""
    rows, stand = _keyed(measured), _keyed(committed)
    for key in stand | rows:
        name = ", ".join(map(str, key))
        if key not in rows:
            yield f"{name}: was not measured"
        elif key not in stand:
            yield f"{name}: is not in the committed table"
        elif not _within(rows[key]["mean"], stand[key]):
            low, high = stand[key]["low"], stand[key]["high"]
            yield f"{name}: {_number(rows[key]['mean'])} is not within [{_number(low)}, {_number(high)}]"


def _keyed(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    keys = ("set", "method", "views", "metric")
    return {tuple(row[key] for key in keys): row for row in rows if row["metric"] != "seconds"}


def _within(mean: float | None, row: Row) -> bool:
    if mean is None or row["mean"] is None:
        return mean is row["mean"]
    slack = _SLACK.get(row["metric"], 1e-3)
    low, high = (row["mean"] if row[end] is None else row[end] for end in ("low", "high"))
    return low - slack <= mean <= high + slack


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def main() -> None:
    """The command; exits with 1 where the table is another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--adapters", type=Path, default=ADAPTERS, help="the folder of the runs (default: small_world/adapters/)"
    )
    parser.add_argument("--work", type=Path, default=Path("data/table"), help="for datasets and what is measured")
    parser.add_argument("--write", action="store_true", help="replace docs/table.json, table.md and the grids")
    arguments = parser.parse_args()
    if not arguments.write and not (DOCS / "table.json").is_file():
        parser.error(f"{DOCS / 'table.json'}: there is none to compare with; --write makes it")
    try:
        table = measure(manifest.load(MANIFEST), draw(arguments.work), arguments.adapters)
    except BolidError as error:
        parser.exit(error.exit_code, f"bolid: error: {error}\n")
    table.write(arguments.work)
    print((arguments.work / "table.md").read_text(encoding="utf-8"))
    if arguments.write:
        table.write(DOCS)
        return
    lines = list(compare(table.rows, json.loads((DOCS / "table.json").read_text(encoding="utf-8"))))
    parser.exit(bool(lines), "".join(f"{line}\n" for line in lines or ["as in docs/table.json, within its intervals"]))


if __name__ == "__main__":
    main()

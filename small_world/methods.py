"""All methods beside each other: `python -m small_world.methods --data data/small-world`.

Measures BoLID, the methods of the project's table and other published ones, which are given bodies, on the validation
people, and draws one of these people by every method with the same prompts and noise: docs/methods/README.md. All
have been trained on the same photos for as many steps, with the first seed. Runs that are in `small_world/adapters`
are taken from there; the others, which are larger, are trained first.

The test sets stay closed: the tuning of a method may look at what this measures.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from bolid_data.errors import BolidError
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.evaluate.cases import choose_cases
from bolid_train.evaluate.grid import Tile, write_grid
from bolid_train.evaluate.run import PROMPTS, evaluate
from bolid_train.inference.generate import Request, generate
from bolid_train.methods import adapter
from bolid_train.methods.adapter import run_folder
from bolid_train.settings import load
from small_world.experiments import MANIFEST, RUNS, SEEDS, train_all
from small_world.halve import ADAPTERS

SPLIT = "val"

COMPARED = [
    f"{name}-seed{SEEDS[0]}"
    for name in ("ip-adapter", "ip-adapter-plus", "ip-adapter-views", "instantid", "photomaker", "bolid")
]
"""The runs in the table."""

_VIEWS = (1, 8)
_DRAWN = (0,)
"""Numbers of the validation people in the picture."""


def gather(data: Path, names: Sequence[str], committed: Path = ADAPTERS) -> Path:
    """A folder whose `runs` are the finished ones of these names: those in `committed`, and those trained in the
    dataset's folder `data`, now if they were not yet."""
    train_all({name: RUNS[name] for name in names if not (committed / name).is_dir()}, data)
    work = data / "methods"
    for name in names:
        source = committed / name if (committed / name).is_dir() else run_folder(data, name)
        folder = run_folder(work, name)
        shutil.rmtree(folder, ignore_errors=True)
        for file in [*(component.file for component in adapter.read(source).components), "adapter.json"]:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, folder / file)
    return work


def measure(data: Path, work: Path) -> dict[str, Any]:
    """What `bolid evaluate` measures of the runs in `work`, with the small Lightning."""
    return evaluate(load(MANIFEST), data, (), SPLIT, _VIEWS, runs_in=work / "runs")


def draw(data: Path, work: Path, names: Sequence[str], path: Path, people: Sequence[int] = _DRAWN) -> None:
    """Draws validation people, with the photo that methods get, by all runs, of which the first is an IP-Adapter's: a
    row for each prompt of `bolid evaluate`, with images by `bolid generate`."""
    loaded, shards = load(MANIFEST), ShardDataset(data / "shards")
    cases = choose_cases(usable_people(shards, loaded.train, SPLIT), loaded.seed, max(_VIEWS), PROMPTS)
    rows: list[list[Tile]] = []
    for case in (cases[number] for number in people):
        photo, out = work / "reference.png", work / "image.png"
        shards.photo(case.reference).save(photo)
        for prompt, seed in zip(case.prompts, case.seeds, strict=True):
            row: list[Tile] = [(shards.photo(case.reference), prompt.caption)]
            lightning = loaded.train.objective.lightning
            asked = Request(prompt.caption, out, photos=[photo], seed=seed, lightning=lightning)
            # At scale 0, an IP-Adapter's image is the base's.
            of_base = replace(asked, run=names[0], scale_ref=0.0)
            for request in (of_base, *(replace(asked, run=name) for name in names)):
                generate(work, loaded, request)
                with Image.open(out) as image:
                    row.append((image.convert("RGB"), ""))
            rows.append(row)
    titles = ["reference", "base", *(name.removesuffix(f"-seed{SEEDS[0]}") for name in names)]
    write_grid(titles, rows, work / "grid.png")
    with Image.open(work / "grid.png") as grid:
        grid.convert("RGB").save(path, quality=85)


def main() -> None:
    """The command; prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--picture", type=Path, help="the picture to draw (default: methods/people.jpg among the data)")
    arguments = parser.parse_args()
    try:
        work = gather(arguments.data, COMPARED)
        found = measure(arguments.data, work)
        draw(arguments.data, work, COMPARED, arguments.picture or work / "people.jpg")
    except BolidError as error:
        parser.exit(error.exit_code, f"bolid: error: {error}\n")
    print((Path(found["folder"]) / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

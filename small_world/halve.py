"""Finished runs made small enough to be committed: `python -m small_world.halve NAME… --data data/small-world`.

Of a run there remain the weights in half precision, `adapter.json`, and `losses.jsonl` as means over a hundredth of the
run each, which is what its curves need. None given takes those that the table is of.
"""

import argparse
import json
import math
import shutil
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

import torch
from safetensors.torch import load_file
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_data.progress import note
from bolid_data.weights import file_sha256
from bolid_train.files import write_json, write_safetensors
from bolid_train.methods import adapter
from bolid_train.methods.adapter import run_folder
from small_world.experiments import COMPARED

ADAPTERS = Path(__file__).with_name("adapters")
"""Where the committed ones are."""

_POINTS = 100  # of a curve


def halve(run: Path, folder: Path) -> None:
    """Writes the finished run in `run` to `folder`, in place of what is there; `adapter.json` comes last.

    Raises BolidError for a run that is not finished, and for weights too large for half precision.
    """
    made = adapter.read(run)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    components = []
    for component in made.components:
        file = folder / component.file
        write_safetensors(_halved(load_file(run / component.file), run), file)
        components.append(replace(component, sha256=file_sha256(file)))
    lines = (run / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    thinned = _thin([json.loads(line) for line in lines])
    (folder / "losses.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in thinned), encoding="utf-8")
    write_json(asdict(replace(made, components=components)), folder / "adapter.json")


def halve_all(names: Iterable[str], data: Path, folder: Path = ADAPTERS) -> None:
    """Halves the runs of these names in the dataset's folder `data`."""
    for name in names:
        halve(run_folder(data, name), folder / name)
        note(f"{folder / name}: {sum(file.stat().st_size for file in (folder / name).iterdir()) / 1e6:.2f} MB")


def _halved(tensors: dict[str, Tensor], run: Path) -> dict[str, Tensor]:
    halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    for name, value in halves.items():
        if not torch.isfinite(value).all():
            raise BolidError(f"{run}: '{name}' does not fit into half precision; train again at a lower rate")
    return halves


def _thin(losses: list[dict[str, float]]) -> list[dict[str, float]]:
    """Means over at most `_POINTS` stretches of steps, each under its last step, to four digits."""
    size = max(1, math.ceil(len(losses) / _POINTS))
    stretches = [losses[start : start + size] for start in range(0, len(losses), size)]
    return [
        {name: float(f"{fmean(line[name] for line in part):.4g}") for name in part[0]} | {"step": part[-1]["step"]}
        for part in stretches
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="finished runs")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument(
        "--to", type=Path, default=ADAPTERS, help="the folder that they go to (default: small_world/adapters/)"
    )
    arguments = parser.parse_args()
    finished = sorted(file.parent.name for file in arguments.data.glob("runs/*/adapter.json"))
    names = arguments.names or [run for run in finished if run in COMPARED or run.startswith("lora-")]
    try:
        halve_all(names, arguments.data, arguments.to)
    except BolidError as error:
        parser.exit(error.exit_code, f"bolid: error: {error}\n")


if __name__ == "__main__":
    main()

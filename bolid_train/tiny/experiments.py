"""Runs that are compared on the small world: `python -m bolid_train.tiny.experiments NAME… --data data/small-world`.

All are by manifests/small-world.toml but for what stands here; none given trains all. A run that was stopped goes on.
"""

import argparse
from pathlib import Path
from typing import Any

from bolid_data import manifest
from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest
from bolid_data.progress import note
from bolid_train.trainer import train

MANIFEST = Path(__file__).parents[2] / "manifests" / "small-world.toml"

_LONGER = {"steps": 1500, "learning_rate": 1e-3, "warmup": 50}
_IDENTITY = {
    "start": "bolid-diffusion-longer",
    "steps": 250,
    "warmup": 20,
    "objective.identity": 0.1,
    "objective.share": 1.0,
    "objective.max_timestep": 850,
}

RUNS: dict[str, dict[str, Any]] = {
    "text": {"method": "text"},
    "ip-adapter": {"method": "ip-adapter"},
    "ip-adapter-longer": {"method": "ip-adapter", "start": "ip-adapter", **_LONGER},
    "ip-adapter-views": {"method": "ip-adapter-views"},
    "bolid-diffusion": {},
    "bolid-diffusion-longer": {"start": "bolid-diffusion", **_LONGER},
    "bolid": _IDENTITY,
    "bolid-absolute": _IDENTITY | {"objective.identity_form": "absolute", "prior_steps": 0},
    "bolid-retargeted": _IDENTITY | {"objective.identity_form": "retargeted", "prior_steps": 0},
}
"""Run → settings of [train] that differ, by their dotted names. As in PuLID, L_id comes second, when pictures are good
enough for keypoints to be found on them."""


def configure(loaded: Manifest, differences: dict[str, Any]) -> Manifest:
    """The manifest with some settings of [train] replaced, checked like any."""
    settings = loaded.train.model_dump()
    for name, value in differences.items():
        *section, key = name.split(".")
        (settings[section[0]] if section else settings)[key] = value
    return loaded.model_copy(update={"train": type(loaded.train).model_validate(settings)})


def main() -> None:
    """Trains the runs one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*RUNS, []], help=", ".join(RUNS))
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    arguments = parser.parse_args()
    loaded = manifest.load(MANIFEST)
    for name in arguments.names or RUNS:
        resume = (arguments.data / "runs" / name).is_dir()
        try:
            done = train(configure(loaded, RUNS[name]), arguments.data, run=name, resume=resume)
        except BolidError as error:
            parser.exit(error.exit_code, f"bolid: error: {name}: {error}\n")
        note(f"{name}: {done['steps']} steps, loss {done['last_loss']}")


if __name__ == "__main__":
    main()

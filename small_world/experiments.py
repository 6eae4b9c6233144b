"""Runs that are compared on the small world: `python -m small_world.experiments NAME… --data data/small-world`.

All are by manifests/small-world.toml, or by another `--manifest`, but for what stands here; none given trains every
method of the table with every seed, and nothing else. With `--lora val` LoRAs are trained instead, of people of that
split and on the very photos that `bolid evaluate` gives to the other methods. Runs that are finished are left alone,
and one that was stopped goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest
from bolid_data.progress import note
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.evaluate.cases import choose_cases
from bolid_train.methods.adapter import run_folder
from bolid_train.settings import load
from bolid_train.training.trainer import train

MANIFEST = Path(__file__).parents[1] / "manifests" / "small-world.toml"

SEEDS = (0, 1, 2)

_ANY: dict[str, Any] = {"learning_rate": 1e-3, "objective.timestep_bias": "later", "validate_every": None}
_FIRST = _ANY | {"steps": 600, "bolid.prior_steps": 0}
_SECOND: dict[str, Any] = {
    "start": "bolid-diffusion",
    "steps": 250,
    "warmup": 20,
    "bolid.prior_steps": 800,
    "validate_every": None,
    "objective.timestep_bias": "later",
    "objective.identity": 0.1,
    "objective.share": 1.0,
    "objective.min_timestep": 1,
    "objective.max_timestep": 850,
}
_WHOLE = _SECOND | {"objective.clip_text": 0.02}
_BOTH = _ANY | {"steps": _FIRST["steps"] + _SECOND["steps"]}

METHODS: dict[str, dict[str, Any]] = {
    "ip-adapter": {"method": "ip-adapter", **_BOTH},
    "ip-adapter-views": {"method": "ip-adapter-views", **_BOTH},
    "bolid-diffusion": _FIRST,
    "bolid": _WHOLE,
}
"""Method → settings of [train] that differ, by their dotted names; `start` is of the same seed. As in PuLID, L_id (and
L_CLIP) come second, when pictures are good enough for keypoints to be found on them."""

COMPARED = [f"{name}-seed{seed}" for name in ("ip-adapter", "ip-adapter-views", "bolid") for seed in SEEDS]
"""The runs that the table is of, beside LoRAs."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "ip-adapter-plus": {"method": "ip-adapter", "ip_adapter.layout": "plus", **_BOTH},
    "instantid": {"method": "instantid", **_BOTH},
    "photomaker": {"method": "photomaker", **_BOTH},
}
"""Other published methods, given bodies, at the first seed: small_world/methods.py compares them with those above."""

_BLIND: dict[str, Any] = {"image_encoder": None}
_BLIND_START = _BLIND | {"start": "bolid-diffusion-blind"}
_NO_PRIOR = _SECOND | _BLIND_START | {"bolid.prior_steps": 0}
_FIRST_ABLATED: dict[str, dict[str, Any]] = {
    "plain": {"bolid.body_encoder": "plain"},
    "unweighted": {"weighting": False},  # the same as alpha = 1, and as a sigma without end
    "keypoints-12": {"keypoints": 12},
    "sigma-double": {"sigma": 100 / 1024},
    "alpha-half": {"alpha": 0.5},
}
_SECOND_ABLATED: dict[str, dict[str, Any]] = {
    "no-identity": {"objective.identity": 0.0},
    "absolute": {"objective.identity_form": "absolute"},
    "retargeted": {"objective.identity_form": "retargeted"},
    # A step takes twice as long, for half as many rows, and its gradient is larger.
    "lightning": {"objective.pictures": "lightning", "objective.identity": 0.03, "objective.share": 0.5},
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "bolid-only-diffusion": _SECOND | {"bolid.prior_steps": 0, "objective.identity": 0.0},
    f"ip-adapter-diffusion-seed{SEEDS[0]}": METHODS["ip-adapter"] | {"steps": _FIRST["steps"]},
    "ip-adapter-identity": _WHOLE | {"method": "ip-adapter", "start": "ip-adapter-diffusion"},
    **{f"{name}-blind-seed{SEEDS[0]}": settings | _BLIND for name, settings in METHODS.items() if name != "bolid"},
    f"bolid-blind-seed{SEEDS[0]}": _WHOLE | _BLIND_START,
    **{f"bolid-diffusion-{name}": _FIRST | _BLIND | other for name, other in _FIRST_ABLATED.items()},
    "bolid-no-clip": _SECOND | _BLIND_START,
    **{f"bolid-{name}": _NO_PRIOR | other for name, other in _SECOND_ABLATED.items()},
}
"""The same at the first seed. First BoLID without what L_id and L_CLIP add, and an IP-Adapter with it, which tell what
is the encoder's doing and what the losses'. Runs called blind look through the base's own image encoder, which sees
nothing of bodies. So do those after them, which differ in one thing: from `bolid-diffusion-blind`, from `bolid-blind`
(that without L_CLIP), or, if they start from a run, from that without L_CLIP."""

LORA: dict[str, Any] = {
    "method": "lora",
    **_BLIND,  # it looks at no photo
    "lora.rank": 4,
    "steps": 100,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "warmup": 10,
    "ema": 0.0,
    "validate_every": None,
}
"""The same of one person's LoRA."""


@dataclass(frozen=True)
class Experiment:
    """One run: the settings of [train] that differ, and the manifest's seed."""

    settings: dict[str, Any]
    seed: int = SEEDS[0]

    @property
    def manifest(self) -> Manifest:
        """The manifest that it is trained by on the flat small world."""
        return self.by(MANIFEST)

    def by(self, manifest: Path) -> Manifest:
        """A small world's manifest with these settings; a run that it starts from has the same seed."""
        start = {"start": f"{self.settings['start']}-seed{self.seed}"} if "start" in self.settings else {}
        return configure(load(manifest), self.settings | start).model_copy(update={"seed": self.seed})


RUNS = {
    **{f"{name}-seed{seed}": Experiment(METHODS[name], seed) for seed in SEEDS for name in METHODS},
    **{f"{name}-seed{SEEDS[0]}": Experiment(settings) for name, settings in PUBLISHED.items()},
    **{name: Experiment(settings) for name, settings in ABLATIONS.items()},
}
"""Run → what it is, each after the one that it starts from."""


def configure(loaded: Manifest, differences: dict[str, Any]) -> Manifest:
    """The manifest with some settings of [train] replaced, checked like any."""
    settings = loaded.train.model_dump()
    for name, value in differences.items():
        *section, key = name.split(".")
        (settings[section[0]] if section else settings)[key] = value
    return loaded.model_copy(update={"train": type(loaded.train).model_validate(settings)})


def loras(
    data: Path,
    split: str,
    people: int = 10,
    views: Sequence[int] = (1, 8),
    seeds: Sequence[int] = SEEDS,
    manifest: Path | None = None,
) -> dict[str, Experiment]:
    """Run → one person's LoRA: of the first `people` whom `bolid evaluate` measures on, and on those photos of them
    that it gives to the other methods, if its largest number of views is that of `views`."""
    loaded = load(manifest or MANIFEST)
    known = usable_people(ShardDataset(data / "shards"), loaded.train, split)
    return {
        f"lora-{data.resolve().name}-{count}-seed{seed}-{number:02d}": Experiment(
            LORA | {"lora.person": case.person, "lora.photos": [photo.sha256 for photo in case.views[:count]]}, seed
        )
        for number, case in enumerate(choose_cases(known, loaded.seed, max(views), 1, people))
        for count in views
        for seed in seeds
    }


def train_all(experiments: dict[str, Experiment], data: Path, manifest: Path | None = None) -> None:
    """Trains what is not finished, one after another, by the flat world's manifest unless one is given. Raises
    BolidError, naming the run."""
    for name, experiment in experiments.items():
        folder = run_folder(data, name)
        if (folder / "adapter.json").is_file():
            continue
        try:
            done = train(experiment.by(manifest or MANIFEST), data, run=name, resume=folder.is_dir())
        except BolidError as error:
            raise type(error)(f"{name}: {error}") from error
        note(f"{name}: {done['steps']} steps, loss {done['last_loss']:.4f}, {done['seconds']:.0f} s")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*RUNS, []], help=", ".join(RUNS))
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="of the dataset (default: the flat world's)")
    parser.add_argument(
        "--lora", metavar="SPLIT", help="LoRAs of people of this split, and of the runs only those named"
    )
    arguments = parser.parse_args()
    of_table = [f"{name}-seed{seed}" for seed in SEEDS for name in METHODS]
    names = arguments.names or ([] if arguments.lora else of_table)
    try:
        train_all({name: RUNS[name] for name in names}, arguments.data, arguments.manifest)
        if arguments.lora:
            people = loras(arguments.data, arguments.lora, manifest=arguments.manifest)
            train_all(people, arguments.data, arguments.manifest)
    except BolidError as error:
        parser.exit(error.exit_code, f"bolid: error: {error}\n")


if __name__ == "__main__":
    main()

"""The finished runs that are compared, and which of them make one row of the table."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_data.progress import note
from bolid_data.shard_index import ShardIndex
from bolid_train.data.features import SETTINGS
from bolid_train.methods import adapter
from bolid_train.methods.adapter import Adapter

BASE, LORA = "text", "lora"
"""The base alone, whose row is always there; and the runs of one person each, which are one method together."""

_SEED = re.compile(r"-seed\d+$")


@dataclass(frozen=True)
class Compared:
    """A finished run."""

    folder: Path
    made: Adapter
    index: ShardIndex | None = None  # of the shards that it is measured on

    @property
    def name(self) -> str:
        """What its row is called: runs that differ in their seed alone share one, and so do LoRAs."""
        return LORA if self.made.method == LORA else _SEED.sub("", self.folder.name)

    @property
    def look(self) -> Train:
        """How it looks at photos."""
        return look(self.made.train_settings(self.folder / "adapter.json"))

    @property
    def draws_bodies(self) -> bool:
        """Whether it can do without photos."""
        return any(component.kind == "body-prior" for component in self.made.components)

    def trained_on(self, people: Iterable[str]) -> list[str]:
        """Those of the people whom it has seen in training, as far as its ids can be told here."""
        seen, before = self.made.trained_on, self.made.people
        ids = set(seen.people) if seen and self.index and seen.key == self.index.fingerprint else set()
        here = self.index.ids() if ids and self.index else {}
        return [person for person in people if here.get(person) in ids or (before and before.has(person))]


def look(settings: Train) -> Train:
    """Of the settings those alone that features depend on: no losses, no photos of several sizes. Runs that look alike
    share a cache."""
    kept = {name: getattr(settings, name) for name in ("base", "image_encoder", *SETTINGS)}
    return Train(**(kept | {"buckets": False}))


def find(folder: Path, names: Sequence[str], index: ShardIndex | None = None) -> list[Compared]:
    """The runs called so, or else all finished ones in the folder. A name is that of a run, or of a method whose runs
    are `<name>-seed<N>`, or `lora`, for the runs `lora-…`. Raises UsageError where one is missing, or there is none."""
    finished = sorted(file.parent.name for file in folder.glob("*/adapter.json"))
    if not names and not finished:
        raise UsageError(f"{folder} holds no finished run; `bolid train` makes one")
    wanted = dict.fromkeys(names or [_SEED.sub("", run) for run in finished])
    runs = dict.fromkeys(run for name in wanted if name != BASE for run in _called(name, folder, finished))
    return [Compared(folder / run, adapter.read(folder / run), index) for run in runs]


def _called(name: str, folder: Path, finished: Sequence[str]) -> list[str]:
    seeds = [run for run in finished if _SEED.search(run) and _SEED.sub("", run) == name]
    if name in finished:
        if seeds:
            note(f"evaluate: '{name}' is the run of that name; left out: {', '.join(seeds)}")
        return [name]
    runs = seeds or [run for run in finished if name == LORA and run.startswith(f"{LORA}-")]
    if not runs and name not in {file.name for file in folder.glob("*/")}:
        there = f"there are {', '.join(finished)}" if finished else "`bolid train` makes it"
        raise UsageError(f"{folder}: no such run as '{name}'; {there}")
    return runs or [name]


def loras_of(
    runs: Iterable[Compared], people: Sequence[str], views: Sequence[int]
) -> dict[int, dict[int, list[Compared]]]:
    """LoRAs by the number of photos that they were trained on, and by the number of the person that each is of: people
    who have one of each. Those of nobody here, or of other numbers of photos than `views`, are left out."""
    found: dict[int, dict[int, list[Compared]]] = defaultdict(lambda: defaultdict(list))
    left_out = 0
    for run in runs:
        seen, count = run.trained_on(people), run.made.photos
        if count is not None and count in views and len(seen) == 1:
            found[count][people.index(seen[0])].append(run)
        else:
            left_out += 1
    if left_out:
        asked = ", ".join(map(str, views))
        note(f"evaluate: {left_out} LoRAs are left out: of nobody here, or not trained on {asked} photos")
    everyone = [person for person in range(len(people)) if all(person in own for own in found.values())]
    return {count: {person: found[count][person] for person in everyone} for count in sorted(found) if everyone}

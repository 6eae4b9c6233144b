"""The finished runs to compare, and which of them share a row of the table."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_data.progress import note
from bolid_data.shard_index import ShardIndex
from bolid_train.methods import adapter, registry
from bolid_train.methods.adapter import Adapter
from bolid_train.methods.spec import MethodSpec

BASE = "text"
"""The row of the base alone, which every table has."""

_SEED = re.compile(r"-seed\d+$")


@dataclass(frozen=True)
class FinishedRun:
    """A finished run."""

    folder: Path
    adapter: Adapter
    index: ShardIndex | None = None  # of the shards that it is evaluated on

    @property
    def spec(self) -> MethodSpec:
        return registry.resolve(self.adapter.method)

    @property
    def name(self) -> str:
        """The name of its row, which runs share that differ only in their seed, and subject-driven runs of a method."""
        return self.spec.name if self.spec.subject else _SEED.sub("", self.folder.name)

    @property
    def settings(self) -> Train:
        """The settings that it was trained with."""
        return self.adapter.train_settings(self.folder / "adapter.json")

    def trained_on(self, people: Iterable[str]) -> list[str]:
        """Those of the people whom it was trained on, as far as the index has the key of its ids."""
        trained_on, salted = self.adapter.trained_on, self.adapter.people
        ids = (
            set(trained_on.people) if trained_on and self.index and trained_on.key == self.index.fingerprint else set()
        )
        index_ids = self.index.ids() if ids and self.index else {}
        return [person for person in people if index_ids.get(person) in ids or (salted and salted.has(person))]


def find_runs(folder: Path, names: Sequence[str], index: ShardIndex | None = None) -> list[FinishedRun]:
    """The runs with the given names, or all finished runs in the folder. A name is that of a run, or of a method whose
    runs are `<name>-seed<N>`; a subject-driven method, such as `lora`, stands for the runs `lora-…`. Raises UsageError
    if a run is missing, or there is none."""
    finished = sorted(file.parent.name for file in folder.glob("*/adapter.json"))
    if not names and not finished:
        raise UsageError(f"{folder} holds no finished run; `bolid train` creates one")
    unique = dict.fromkeys(names or [_SEED.sub("", run) for run in finished])
    runs = dict.fromkeys(run for name in unique if name != BASE for run in _runs_named(name, folder, finished))
    return [FinishedRun(folder / run, adapter.read(folder / run), index) for run in runs]


def _runs_named(name: str, folder: Path, finished: Sequence[str]) -> list[str]:
    seeds = [run for run in finished if _SEED.search(run) and _SEED.sub("", run) == name]
    if name in finished:
        if seeds:
            note(f"evaluate: '{name}' is the run of that name; left out: {', '.join(seeds)}")
        return [name]
    is_subject_driven = name in registry.names() and registry.resolve(name).subject
    runs = seeds or [run for run in finished if is_subject_driven and run.startswith(f"{name}-")]
    if not runs and name not in {file.name for file in folder.glob("*/")}:
        hint = f"there are {', '.join(finished)}" if finished else "`bolid train` creates it"
        raise UsageError(f"{folder}: no such run as '{name}'; {hint}")
    return runs or [name]


def subject_runs_by_person(
    runs: Iterable[FinishedRun], people: Sequence[str], views: Sequence[int]
) -> dict[int, dict[int, list[FinishedRun]]]:
    """Subject-driven runs of one method by their number of training photos and by their person's number, for people who
    have a run for each number of photos. Runs of other people, or of numbers of photos not in `views`, are left out."""
    by_count: dict[int, dict[int, list[FinishedRun]]] = defaultdict(lambda: defaultdict(list))
    left_out = 0
    for run in runs:
        trained_on, count = run.trained_on(people), run.adapter.photos
        if count is not None and count in views and len(trained_on) == 1:
            by_count[count][people.index(trained_on[0])].append(run)
        else:
            left_out += 1
    if left_out:
        counts = ", ".join(map(str, views))
        reason = f"of other people, or not trained on {counts} photos"
        note(f"evaluate: {left_out} runs of one person are left out: {reason}")
    numbers = [number for number in range(len(people)) if all(number in by_person for by_person in by_count.values())]
    return {count: {number: by_count[count][number] for number in numbers} for count in sorted(by_count) if numbers}

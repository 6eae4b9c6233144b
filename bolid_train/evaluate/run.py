"""`bolid evaluate`: the table of runs, on people of a split that they have not seen."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest, Train
from bolid_data.paths import refuse_links
from bolid_data.progress import note
from bolid_train.data.features import FeatureCache
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import People, Sample, Shards
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.evaluate.cases import Case, choose
from bolid_train.evaluate.compared import BASE, LORA, Compared, find, look, loras_of
from bolid_train.evaluate.evaluators import Evaluators, evaluators_of, load_evaluators
from bolid_train.evaluate.measuring import Yardstick
from bolid_train.evaluate.painting import Drawn, Sampling, Studio
from bolid_train.evaluate.report import Measured, Result, Sets, differences, mean_of, notes_of, rows_of, write_pictures
from bolid_train.evaluate.table import write_table
from bolid_train.methods.adapter import refuse_strange_models

PROMPTS = 4  # a person
_GRID = 8  # people


def evaluate(
    manifest: Manifest,
    data: Path,
    runs: Sequence[str] = (),
    split: str = "val",
    views: Sequence[int] = (0, 1, 8),
    people: int | None = None,
    how: Sampling | None = None,
    open_test_sets: bool = False,
    evaluators: str | None = None,
    runs_in: Path | None = None,
) -> dict[str, Any]:
    """Writes `evaluation/table.json`, `differences.json`, `table.md` and `grid.png`; returns the rows and differences.

    Args:
        runs: names of runs or methods, all finished runs by default. Runs `<name>-seed<N>` are one method: of each
            person the mean over them counts.
        views: how many photos of a person a method gets, 0 for none: the body is then drawn given the prompt, by
            methods that can. A LoRA needs none: it counts for as many as it was trained on, and its own person alone.
        people: at most so many.
        how: with Lightning by default.
        evaluators: their name, as `load_evaluators` takes it; by default they follow from the base.
        runs_in: the folder whose folders are the runs, the dataset's `runs` by default.

    Raises BolidError for test people, unless they are to be opened now, and for too few people; UsageError for runs
    that cannot stand in one table.
    """
    started = time.monotonic()
    if split.startswith("test") and not open_test_sets:
        raise BolidError(
            f"'{split}': test people wait until nothing of the method will change, for what is looked at can no longer "
            "be measured with; evaluate on 'val', or open them with --open-test-sets"
        )
    refuse_links(data)
    shards = Shards(data / "shards")
    compared = find(runs_in or data / "runs", runs, shards.index)
    for run in compared:
        refuse_strange_models(run.look, manifest, run.folder / "adapter.json")
    looks = [run.look for run in compared] or [look(manifest.train)]
    looks = [one for place, one in enumerate(looks) if one not in looks[:place]]
    base, how = _base(looks, manifest), how or sampling(manifest)
    evaluators = evaluators_of(base, evaluators)
    cases = choose(_people(shards, split, looks), manifest.seed, max(1, *views), PROMPTS, people)
    everyone = [case.person for case in cases]
    loras = loras_of((run for run in compared if run.name == LORA), everyone, views)
    of = f"{data.resolve().name}/{split}"
    theirs = {f"{of}, lora's people": sorted(own) for own in list(loras.values())[:1]}
    sets: Sets = {of: list(range(len(cases)))} | theirs
    judges = load_evaluators(evaluators)
    yardstick = Yardstick(judges, cases, shards, looks[0].resolution, manifest.filter.min_keypoints)
    studio = Studio(base, how, cases, _features(data, looks, shards, cases, manifest.folder), manifest.folder)
    shown = list(dict.fromkeys(person for own in reversed(sets.values()) for person in own))[:_GRID]
    bench = Bench(studio, judges, yardstick, sets, shown)
    results = [bench.base()]
    for name in dict.fromkeys(run.name for run in compared if run.name not in (BASE, LORA)):
        results += bench.method(name, [run for run in compared if run.name == name], views)
    results += [bench.loras(count, own, theirs) for count, own in loras.items()]
    rows, apart = rows_of(results, sets), differences(results, sets)
    drawn = f"{len(cases)} people, {PROMPTS} prompts each, seed {manifest.seed}; {how}."
    notes = [drawn, *notes_of(yardstick, results), *_flattered(compared, everyone)]
    folder = data / "evaluation"
    write_table(rows, apart, notes, folder)
    write_pictures(results, cases, shown, shards, folder / "grid.png")
    seconds = round(time.monotonic() - started, 2)
    return {"folder": str(folder), "rows": rows, "differences": apart, "notes": notes, "seconds": seconds}


def sampling(manifest: Manifest, fast: str | None = None, steps: int | None = None, guidance: float = 5.0) -> Sampling:
    """Lightning's weights called `fast`, or the manifest's; with `steps`, the base in so many. Raises UsageError for
    both."""
    if steps and fast:
        raise UsageError("--steps draws with the base, --lightning without guidance in 4 steps; give one of them")
    if steps:
        return Sampling(steps, guidance)
    return Sampling(lightning.STEPS, 0.0, lightning.find(fast or manifest.train.objective.lightning, manifest.folder))


def numbers(views: str) -> list[int]:
    """Numbers of photos from a list such as 1,8. Raises UsageError for anything else."""
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", views):
        raise UsageError(f"--views {views!r}: numbers of photos with commas between them, such as 0,1,8")
    return sorted({int(number) for number in views.split(",")})


def _base(looks: Sequence[Train], manifest: Manifest) -> Base:
    """The base that all runs were trained on."""
    of = {(one.base, one.resolution) for one in looks}
    if len(of) > 1:
        names = ", ".join(f"{base} at {resolution} px" for base, resolution in sorted(of))
        raise UsageError(f"runs of different bases cannot share a table: {names}; name those of one with --methods")
    return Base.find(looks[0], manifest.folder)


def _people(shards: Shards, split: str, looks: Sequence[Train]) -> People:
    """The split's photos that every run would take as a view."""
    usable = [usable_people(shards, one, split) for one in looks]
    taken = [{photo for photos in people.values() for photo in photos} for people in usable]
    return {
        person: [photo for photo in photos if all(photo in photos_taken for photos_taken in taken)]
        for person, photos in usable[0].items()
    }


def _flattered(compared: Sequence[Compared], people: Sequence[str]) -> Iterator[str]:
    """A note for each run that was trained on some of the people; LoRAs have to be."""
    for run in compared:
        if run.name != LORA and (seen := len(run.trained_on(people))):
            told = f"Run '{run.folder.name}' was trained on {seen} of these people, which flatters it."
            note(f"evaluate: {told}")
            yield told


def _features(
    data: Path, looks: Sequence[Train], shards: Shards, cases: Sequence[Case], near: Path
) -> list[FeatureCache]:
    """What is needed of the cases' photos, for each way to look at them."""
    needed: dict[str, dict[Sample, None]] = defaultdict(dict)
    for case in cases:
        for photo in (*case.views, *case.prompts):
            needed[photo.person][photo] = None
    photos = {person: list(own) for person, own in needed.items()}
    # Apart from the cache of trainings, which would lose these people's other photos.
    caches = [FeatureCache(data / "evaluation" / "features", Base.find(one, near), one) for one in looks]
    for cache in caches:
        cache.fill(shards, photos, pick_device())
    return caches


class Bench:
    """Draws and measures methods, one after the other, beside the base's own pictures of the same people, prompts and
    noise; the pictures of one run at a time are held in memory."""

    def __init__(
        self, studio: Studio, evaluators: Evaluators, yardstick: Yardstick, sets: Sets, shown: Sequence[int]
    ) -> None:
        """`shown`: the numbers of the people of whom results keep a picture each, that of the first prompt."""
        self._studio, self._evaluators, self._yardstick = studio, evaluators, yardstick
        self._sets, self._shown = sets, shown
        note("evaluate: drawing the base's pictures")
        self._bare = studio.bare()
        self._seen_bare = evaluators.look(self._bare.pictures)

    def base(self) -> Result:
        """What the base does alone."""
        return Result(BASE, 0, self._measure(self._bare, self._sets), self._pictures(self._bare, self._shown))

    def method(self, name: str, runs: Iterable[Compared], views: Iterable[int]) -> list[Result]:
        """What a method does, by numbers of photos; without any only where it can draw bodies."""
        measured: dict[int, list[Measured]] = defaultdict(list)
        pictures: dict[int, dict[int, torch.Tensor]] = {}
        for run in runs:
            note(f"evaluate: drawing those of run '{run.folder.name}'")
            for count, drawn in self._studio.run(run, [count for count in views if count or run.draws_bodies]):
                measured[count].append(self._measure(drawn, self._sets))
                pictures.setdefault(count, self._pictures(drawn, self._shown))
        return [Result(name, count, mean_of(own), pictures[count]) for count, own in measured.items()]

    def loras(self, views: int, runs: Mapping[int, Sequence[Compared]], sets: Sets) -> Result:
        """What LoRAs do, each for its own person alone; `runs`: by the person's number, trained on `views` photos.

        With several of each, they count as several seeds of one method.
        """
        note(f"evaluate: drawing those of LoRAs of {views} photo{'s' * (views != 1)}")
        shown = [person for person in self._shown if person in runs]
        measured: list[Measured] = []
        pictures: dict[int, torch.Tensor] = {}
        for seed in range(min(map(len, runs.values()))):
            drawn = self._studio.loras({person: own[seed] for person, own in runs.items()}, self._bare)
            measured.append(self._measure(drawn, sets))
            pictures = pictures or self._pictures(drawn, shown)
        return Result(LORA, views, mean_of(measured), pictures)

    def _measure(self, drawn: Drawn, sets: Sets) -> Measured:
        """Scores of the people in the sets; of others there is none."""
        scores = self._yardstick.score(self._evaluators.look(drawn.pictures), self._seen_bare)
        scores["seconds"] = self._yardstick.by_person(drawn.seconds)
        counted = torch.zeros(len(self._studio.cases), dtype=torch.bool)
        counted[[person for people in sets.values() for person in people]] = True
        scores = {name: values.where(counted, torch.nan) for name, values in scores.items()}
        quality = {of: self._yardstick.quality(self._of(drawn, people).flatten(0, 1)) for of, people in sets.items()}
        return Measured(scores, quality, (float(scores["body_sim"].nanmean()),))

    def _pictures(self, drawn: Drawn, people: Sequence[int]) -> dict[int, torch.Tensor]:
        return dict(zip(people, self._of(drawn, people)[:, 0], strict=True))

    def _of(self, drawn: Drawn, people: Sequence[int]) -> torch.Tensor:
        """(P, Q, 3, H, W): the pictures of some people, Q prompts each."""
        return drawn.pictures.unflatten(0, (len(self._studio.cases), -1))[list(people)]

"""`bolid evaluate`: the table of runs, on people of a split that they were not trained on."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest, Train
from bolid_data.paths import refuse_links
from bolid_data.progress import note
from bolid_data.words import counted
from bolid_train.data.buckets import size_of
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import People, ShardDataset
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base
from bolid_train.evaluate.cases import Case, choose_cases
from bolid_train.evaluate.evaluators import Evaluators, choose_evaluators, load_evaluators
from bolid_train.evaluate.features import EvaluationFeatures
from bolid_train.evaluate.finished_runs import BASE, FinishedRun, find_runs, subject_runs_by_person
from bolid_train.evaluate.image_generator import GeneratedImages, ImageGenerator, Sampling
from bolid_train.evaluate.report import (
    Measurements,
    Result,
    Sets,
    differences,
    mean_measurements,
    table_notes,
    table_rows,
    write_image_grid,
)
from bolid_train.evaluate.scorer import Scorer
from bolid_train.evaluate.table import write_table
from bolid_train.methods.adapter import pinned, refuse_untrusted_models

PROMPTS = 4  # per person
_GRID_PEOPLE = 8


def evaluate(
    manifest: Manifest,
    data: Path,
    runs: Sequence[str] = (),
    split: str | None = None,
    views: Sequence[int] = (0, 1, 8),
    people: int | None = None,
    sampling: Sampling | None = None,
    open_test_sets: bool = False,
    evaluators: str | None = None,
    runs_in: Path | None = None,
) -> dict[str, Any]:
    """Writes `evaluation/table.json`, `differences.json`, `table.md` and `grid.png`; returns the rows and differences.

    Args:
        split: by default val, or train if val has too few people.
        runs: names of runs or methods, by default all finished runs. Runs `<name>-seed<N>` are one method, whose values
            are the means over its runs for each person.
        views: numbers of photos per person that methods get. With 0, methods with a prior sample the body given the
            prompt. LoRAs get no photos: a LoRA counts for the number of photos it was trained on, for its person only.
        people: the maximum number of people.
        sampling: by default with Lightning.
        evaluators: a name for `load_evaluators`; by default they follow from the base.
        runs_in: the folder of the runs, by default the dataset's `runs`.

    If all runs were trained with buckets, every image has the size at which its prompt's photo is trained; otherwise
    all are squares, so that all methods and the base generate the same sizes.

    Raises BolidError for test people without `open_test_sets`, and for too few people; UsageError for runs that cannot
    share a table.
    """
    started_at = time.monotonic()
    if split and split.startswith("test") and not open_test_sets:
        raise BolidError(
            f"'{split}': test people wait until nothing of the method will change, because a test set is spent once it "
            "was looked at; evaluate on 'val', or open them with --open-test-sets"
        )
    refuse_links(data)
    shards = ShardDataset(data / "shards")
    found = find_runs(runs_in or data / "runs", runs, shards.index)
    finished = [replace(run, adapter=pinned(run.adapter, manifest)) for run in found]
    for run in finished:
        refuse_untrusted_models(run.settings, manifest, run.folder / "adapter.json")
    settings = _common_sizes([run.settings for run in finished] or [manifest.train])
    base, sampling = _base(settings, manifest), sampling or choose_sampling(manifest)
    models = load_evaluators(choose_evaluators(base, evaluators))
    split = split or _default_split(shards, settings, max(1, *views))
    cases = choose_cases(_people(shards, split, settings), manifest.seed, max(1, *views), PROMPTS, people)
    names = [case.person for case in cases]
    subject_runs = {
        name: subject_runs_by_person((run for run in finished if run.name == name), names, views)
        for name in dict.fromkeys(run.name for run in finished if run.spec.subject)
    }
    set_name = f"{data.resolve().name}/{split}"
    subject_sets: dict[str, Sets] = {
        name: {f"{set_name}, {name}'s people": sorted(by_person) for by_person in list(by_count.values())[:1]}
        for name, by_count in subject_runs.items()
    }
    sets: Sets = {set_name: list(range(len(cases)))}
    for added in subject_sets.values():
        sets |= added
    scorer = Scorer(models, cases, shards, settings[0], manifest.filter.min_keypoints)
    features = EvaluationFeatures(data / "evaluation" / "features", settings[0], shards, cases, manifest.folder)
    generator = ImageGenerator(base, sampling, cases, features, manifest.folder)
    grid_people = list(dict.fromkeys(person for set_ in reversed(sets.values()) for person in set_))[:_GRID_PEOPLE]
    runner = EvaluationRunner(generator, models, scorer, sets, grid_people)
    results = [runner.baseline()]
    for name in dict.fromkeys(run.name for run in finished if run.spec.is_trained and not run.spec.subject):
        results += runner.method(name, [run for run in finished if run.name == name], views)
    for name, by_count in subject_runs.items():
        results += [
            runner.subjects(name, count, by_person, subject_sets[name]) for count, by_person in by_count.items()
        ]
    rows, difference_rows = table_rows(results, sets), differences(results, sets)
    summary = f"{len(cases)} people, {PROMPTS} prompts each, seed {manifest.seed}; {sampling}."
    notes = [
        summary,
        *_size_notes(finished, cases, settings[0]),
        *table_notes(scorer, results),
        *_trained_on_notes(finished, names),
    ]
    folder = data / "evaluation"
    write_table(rows, difference_rows, notes, folder)
    write_image_grid(results, cases, grid_people, shards, folder / "grid.png")
    seconds = round(time.monotonic() - started_at, 2)
    return {"folder": str(folder), "rows": rows, "differences": difference_rows, "notes": notes, "seconds": seconds}


def choose_sampling(
    manifest: Manifest, lightning_name: str | None = None, steps: int | None = None, guidance: float = 5.0
) -> Sampling:
    """Sampling with the base if there are `steps`, otherwise with Lightning's weights `lightning_name`, or those of the
    manifest. Raises UsageError for both."""
    if steps and lightning_name:
        raise UsageError("--steps samples with the base, --lightning in 4 steps without guidance; give one of them")
    if steps:
        return Sampling(steps, guidance)
    name = lightning_name or manifest.train.objective.lightning
    return Sampling(lightning.STEPS, 0.0, lightning.resolve(name, manifest.folder))


def parse_view_counts(views: str) -> list[int]:
    """Numbers of photos from a list such as 1,8. Raises UsageError for anything else."""
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", views):
        raise UsageError(f"--views {views!r}: give numbers of photos separated by commas, such as 0,1,8")
    return sorted({int(number) for number in views.split(",")})


def _base(settings: Sequence[Train], manifest: Manifest) -> Base:
    """The base that all runs were trained on, under one name or several."""
    bases = {(Base.resolve(one, manifest.folder).folder, one.resolution): one.base for one in settings}
    if len(bases) > 1:
        names = ", ".join(f"{base} at {resolution} px" for (_, resolution), base in sorted(bases.items()))
        raise UsageError(f"runs of different bases cannot share a table: {names}; name those of one with --methods")
    return Base.resolve(settings[0], manifest.folder)


def _common_sizes(settings: Sequence[Train]) -> list[Train]:
    """The settings with `buckets` only if all have it: images of the same prompt, which are compared, have one size."""
    buckets = all(one.buckets for one in settings)
    return [one.model_copy(update={"buckets": buckets}) for one in settings]


def _default_split(shards: ShardDataset, settings: Sequence[Train], views: int) -> str:
    """`val`, or `train` if `val` has fewer than two people with more than `views` photos, and `train` has them."""

    def count(split: str) -> int:
        return sum(len(photos) > views for photos in _people(shards, split, settings).values())

    if (in_val := count("val")) >= 2 or count("train") < 2:
        return "val"
    too_few = f"{counted(in_val, 'person', 'people')} with more than {counted(views, 'photo')}"
    note(
        f"evaluate: split 'val' has {too_few}, and two are needed; evaluating on 'train', whose people the runs may "
        "have been trained on"
    )
    return "train"


def _people(shards: ShardDataset, split: str, settings: Sequence[Train]) -> People:
    """The split's photos that are usable as views by every run."""
    criteria = {(one.keypoints, one.min_keypoint_confidence): one for one in settings}
    usable = [usable_people(shards, one, split) for one in criteria.values()]
    usable_photos = [{photo for photos in people.values() for photo in photos} for people in usable]
    return {
        person: [photo for photo in photos if all(photo in others for others in usable_photos)]
        for person, photos in usable[0].items()
    }


def _size_notes(runs: Sequence[FinishedRun], cases: Sequence[Case], settings: Train) -> Iterator[str]:
    """Notes on the sizes of the images, if a run was trained with buckets."""
    if settings.buckets:
        used = {size_of(prompt, settings) for case in cases for prompt in case.prompts}
        sizes = ", ".join(f"{width}×{height}" for width, height in sorted(used, key=lambda size: size[0] / size[1]))
        yield f"Each image has the size at which its prompt's photo is trained, in pixels: {sizes}."
    elif any(run.settings.buckets for run in runs):
        squares = ", ".join(dict.fromkeys(run.name for run in runs if not run.settings.buckets))
        text = f"All images are squares, because some runs were trained without buckets: {squares}."
        note(f"evaluate: {text}")
        yield text


def _trained_on_notes(runs: Sequence[FinishedRun], people: Sequence[str]) -> Iterator[str]:
    """A note for each run that was trained on some of the people, except subject-driven runs, which always are."""
    for run in runs:
        if not run.spec.subject and (count := len(run.trained_on(people))):
            text = f"Run '{run.folder.name}' was trained on {count} of these people, which flatters it."
            note(f"evaluate: {text}")
            yield text


class EvaluationRunner:
    """Generates and measures images, method by method, and compares them with the base's images of the same people,
    prompts and noise. The images of one run at a time are in memory."""

    def __init__(
        self,
        generator: ImageGenerator,
        evaluators: Evaluators,
        scorer: Scorer,
        sets: Sets,
        grid_people: Sequence[int],
    ) -> None:
        """`grid_people`: the numbers of the people for whom results keep the image of the first prompt."""
        self._generator, self._evaluators, self._scorer = generator, evaluators, scorer
        self._sets, self._grid_people = sets, grid_people
        note("evaluate: generating the base's images")
        self._baseline = generator.generate_baseline()
        self._baseline_outputs = evaluators.evaluate(self._baseline.images)

    def baseline(self) -> Result:
        """The result of the base alone."""
        measurements = self._measure(self._baseline, self._sets)
        return Result(BASE, 0, measurements, self._grid_images(self._baseline, self._grid_people))

    def method(self, name: str, runs: Iterable[FinishedRun], views: Iterable[int]) -> list[Result]:
        """The results of a method, one for each number of photos; for 0 only if it can sample bodies."""
        measurements: dict[int, list[Measurements]] = defaultdict(list)
        grid_images: dict[int, dict[int, torch.Tensor]] = {}
        for run in runs:
            note(f"evaluate: generating the images of run '{run.folder.name}'")
            counts = [count for count in views if count or run.spec.generates_without_photos]
            for count, generated in self._generator.generate(run, counts):
                measurements[count].append(self._measure(generated, self._sets))
                grid_images.setdefault(count, self._grid_images(generated, self._grid_people))
        return [
            Result(name, count, mean_measurements(runs), grid_images[count]) for count, runs in measurements.items()
        ]

    def subjects(self, name: str, views: int, runs: Mapping[int, Sequence[FinishedRun]], sets: Sets) -> Result:
        """The result of subject-driven runs of method `name`, each for its person only; `runs`: by the person's number,
        trained on `views` photos.

        If there are several for each person, they count as seeds of one method.
        """
        note(f"evaluate: generating the images of method '{name}' on {views} photo{'s' * (views != 1)}")
        grid_people = [person for person in self._grid_people if person in runs]
        measurements: list[Measurements] = []
        grid_images: dict[int, torch.Tensor] = {}
        for seed in range(min(map(len, runs.values()))):
            of_seed = {person: seeds[seed] for person, seeds in runs.items()}
            generated = self._generator.generate_subjects(of_seed, self._baseline)
            measurements.append(self._measure(generated, sets))
            grid_images = grid_images or self._grid_images(generated, grid_people)
        return Result(name, views, mean_measurements(measurements), grid_images, is_subject_driven=True)

    def _measure(self, generated: GeneratedImages, sets: Sets) -> Measurements:
        """Measurements of the people in the sets; NaN for others."""
        scores = self._scorer.score(self._evaluators.evaluate(generated.images), self._baseline_outputs)
        scores["seconds"] = self._scorer.by_person(generated.seconds)
        counted = torch.zeros(len(self._generator.cases), dtype=torch.bool)
        counted[[person for people in sets.values() for person in people]] = True
        scores = {name: values.where(counted, torch.nan) for name, values in scores.items()}
        quality = {
            set_name: self._scorer.quality(list(chain.from_iterable(self._by_person(generated, people))))
            for set_name, people in sets.items()
        }
        return Measurements(scores, quality, (float(scores["body_sim"].nanmean()),))

    def _grid_images(self, generated: GeneratedImages, people: Sequence[int]) -> dict[int, torch.Tensor]:
        return {person: images[0] for person, images in zip(people, self._by_person(generated, people), strict=True)}

    def _by_person(self, generated: GeneratedImages, people: Sequence[int]) -> list[list[torch.Tensor]]:
        """The images (3, H, W) of some people, for each person those of all prompts."""
        prompts = len(generated.images) // len(self._generator.cases)
        return [generated.images[person * prompts : (person + 1) * prompts] for person in people]

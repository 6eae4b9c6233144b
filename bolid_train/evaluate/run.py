"""`bolid evaluate`: the table of a dataset's runs, on people of a split that they have not seen."""

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest, Objective, Train
from bolid_data.progress import note
from bolid_train import adapter, lightning
from bolid_train.adapter import Adapter
from bolid_train.base import Base, pick_device
from bolid_train.doctor import usable_people
from bolid_train.evaluate.cases import Case, choose
from bolid_train.evaluate.evaluators import SMALL_WORLD, load_evaluators
from bolid_train.evaluate.grid import write_grid
from bolid_train.evaluate.measuring import Yardstick
from bolid_train.evaluate.painting import Drawn, Sampling, Studio, to_image
from bolid_train.evaluate.table import make_rows, write_table
from bolid_train.features import FeatureCache
from bolid_train.runs import run_folder
from bolid_train.views import Sample, Shards

BASE = "text"
"""The method that is the base alone; its row is always there."""

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
    evaluators: str = SMALL_WORLD,
) -> dict[str, Any]:
    """Writes `evaluation/table.json`, `table.md` and `grid.png`, and returns the rows.

    `runs`: their names, all finished ones by default; `views`: how many photos of a person a method gets, 0 for none
    (the body is then drawn given the prompt, by methods that can); `how`: with Lightning by default.

    Raises BolidError for test people, unless they are to be opened now, and for too few people; UsageError for runs
    that cannot stand in one table.
    """
    started = time.monotonic()
    if split.startswith("test") and not open_test_sets:
        raise BolidError(
            f"'{split}': test people wait until nothing of the method will change, for what is looked at can no longer "
            "be measured with; evaluate on 'val', or open them with --open-test-sets"
        )
    found = _find(data, runs)
    settings = [_settings(made) for made in found.values()] or [_frozen(manifest.train)]
    base = _base(settings, manifest)
    shards = Shards(data / "shards")
    cases = choose(_people(shards, split, settings), manifest.seed, max(1, *views), PROMPTS, people)
    how = how or sampling(manifest)
    drawn = _draw(Studio(base, how, cases, manifest.folder), shards, found, settings, views, data)
    judges = load_evaluators(evaluators)
    yardstick = Yardstick(judges, cases, shards, settings[0].resolution, manifest.filter.min_keypoints)
    bare, rows = judges.look(drawn[BASE, 0].pictures), []
    for (name, count), made in drawn.items():
        seen = bare if name == BASE else judges.look(made.pictures)
        scores = yardstick.score(seen, bare) | {"seconds": yardstick.by_person(made.seconds)}
        rows += make_rows(name, count, f"{data.resolve().name}/{split}", scores)
    notes = (
        f"{len(cases)} people, {PROMPTS} prompts each, seed {manifest.seed}; {how}. In brackets: 95 % interval "
        "over people.",
        f"body_sim: 0 is a cosine of {yardstick.different:.3f}, as to photos of other people; 1 of "
        f"{yardstick.same:.3f}, as of one photo to others of the same person.",
        f"limb_error: between different people {yardstick.strangers:.1f} %, which is what a failure counts.",
    )
    folder = data / "evaluation"
    write_table(rows, notes, folder)
    _write_grid(drawn, cases, shards, folder / "grid.png")
    return {"folder": str(folder), "rows": rows, "seconds": round(time.monotonic() - started, 2)}


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


def _find(data: Path, runs: Sequence[str]) -> dict[str, Adapter]:
    """Adapters by the names of their runs; of all finished ones, those that keep anybody. Raises UsageError where one
    is missing, or there is none."""
    finished = sorted(file.parent.name for file in data.glob("runs/*/adapter.json"))
    names = list(dict.fromkeys(runs)) or finished
    if not names:
        raise UsageError(f"{data / 'runs'} holds no finished run; `bolid train` makes one")
    found = {name: adapter.read(run_folder(data, name)) for name in names if name != BASE}
    personal = [name for name, made in found.items() if made.method == "lora"]
    if runs and personal:
        raise UsageError(f"run '{personal[0]}' keeps one person only and cannot be measured on others; leave it out")
    return {name: made for name, made in found.items() if name not in personal}


def _settings(made: Adapter) -> Train:
    return _frozen(Train.model_validate(made.settings))


def _frozen(settings: Train) -> Train:
    """The settings without what only training needs: no features for losses, no photos of several sizes."""
    return settings.model_copy(update={"buckets": False, "objective": Objective()})


def _base(settings: Sequence[Train], manifest: Manifest) -> Base:
    """The base that all runs were trained on."""
    of = {(one.base, one.image_encoder, one.resolution) for one in settings}
    if len(of) > 1:
        names = ", ".join(f"{base} at {resolution} px" for base, _, resolution in sorted(of, key=str))
        raise UsageError(f"runs of different bases cannot share a table: {names}; name those of one with --methods")
    return Base.find(settings[0], manifest.folder)


def _people(shards: Shards, split: str, settings: Sequence[Train]) -> dict[str, list[Sample]]:
    """The split's photos that every run would take as a view."""
    usable = [usable_people(shards, one, split) for one in settings]
    taken = [{photo for photos in people.values() for photo in photos} for people in usable]
    return {
        person: [photo for photo in photos if all(photo in photos_taken for photos_taken in taken)]
        for person, photos in usable[0].items()
    }


def _draw(
    studio: Studio,
    shards: Shards,
    runs: dict[str, Adapter],
    settings: Sequence[Train],
    views: Sequence[int],
    data: Path,
) -> dict[tuple[str, int], Drawn]:
    """(run, number of views) → its pictures; the base's own first."""
    needed: dict[str, dict[Sample, None]] = defaultdict(dict)
    for case in studio.cases:
        for photo in (*case.views, *case.prompts):
            needed[photo.person][photo] = None
    photos = {person: list(own) for person, own in needed.items()}
    # Apart from the cache of trainings, which would lose these people's other photos.
    caches = [FeatureCache(data / "evaluation" / "features", studio.base, one) for one in settings]
    for cache in caches:
        cache.fill(shards, photos, pick_device())
    note("evaluate: drawing the base's pictures")
    drawn = {(BASE, 0): studio.bare(caches[0])}
    for (name, made), cache in zip(runs.items(), caches, strict=False):
        note(f"evaluate: drawing those of run '{name}'")
        given = [count for count in dict.fromkeys(views) if count or _draws_bodies(made)]
        for count, pictures in studio.run(run_folder(data, name), made, cache, given).items():
            drawn[name, count] = pictures
    return drawn


def _draws_bodies(made: Adapter) -> bool:
    """Whether the method can do without photos."""
    return any(component["kind"] == "body-prior" for component in made.components)


def _write_grid(drawn: dict[tuple[str, int], Drawn], cases: Sequence[Case], shards: Shards, path: Path) -> None:
    """One person a row: the reference with the first prompt under it, then what each method drew for that."""
    titles = [name if name == BASE else f"{name}, {count} photo{'s' * (count != 1)}" for name, count in drawn]
    prompts = len(cases[0].prompts)
    rows = [
        [
            (shards.photo(case.reference), case.prompts[0].caption),
            *((to_image(made.pictures[row * prompts]), "") for made in drawn.values()),
        ]
        for row, case in enumerate(cases[:_GRID])
    ]
    write_grid(["reference", *titles], rows, path)

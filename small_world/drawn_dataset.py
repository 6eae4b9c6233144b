"""Writes drawn photos as an ordinary dataset, for the small worlds' own commands.

What models measure of other photos is known of drawn ones and stands in its place: the true keypoints, one person, no
watermark, and the measures of the body where a world has them. From there on a dataset is made as always, by the code
that judges, shards and locks, so `bolid train`, `verify`, `status` and the rest need to know nothing of it.

The shards hold the caption without a word on the build; of those trained on, every second one has the build's words, so
that a prior of bodies given text can be learnt. For all photos the caption with the build stands where all captions
stand, in `measurements.parquet`, under the prompt "build":

    SELECT sha256, c.caption FROM (SELECT sha256, unnest(captions) AS c FROM 'measurements.parquet')
    WHERE c.prompt = 'build'
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bolid_data.collect.ingest import Ingest
from bolid_data.curate.judge import ModelIds, judge
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.keyed import make_key
from bolid_data.lockfile import LockedSource, ShardRecipe
from bolid_data.manifest import Filter, ShardSettings
from bolid_data.progress import bar, note
from bolid_data.records import ListedPerson, Measurements, Model
from bolid_data.shards.write import write_shards

BUILD = "build"
"""The prompt under which the captions with the build's words stand."""

_JUDGED = ("pose", "face", "watermark", "hash")


class DrawnSplit(Protocol):
    """People of one seed: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def seed(self) -> int: ...
    @property
    def people(self) -> int: ...


class DrawnPhotos(Protocol):
    """Photos of one split in the order of its people. N photos."""

    @property
    def images(self) -> NDArray[np.uint8]: ...  # (N, side, side, 3)
    @property
    def keypoints(self) -> NDArray[np.float32]: ...  # (N, 17, 3): x, y in pixels, visible 0 or 1
    @property
    def people(self) -> NDArray[np.int64]: ...  # (N,): number of the person within the split
    def __len__(self) -> int: ...
    def caption(self, index: int) -> object: ...  # `str` of it says nothing of the build
    def build_caption(self, index: int) -> str: ...


@dataclass(frozen=True)
class World:
    """A small world, and how its photos are drawn."""

    name: str  # of the dataset
    thresholds: Filter  # which nothing that is drawn fails
    splits: Mapping[str, DrawnSplit]  # what can be a dataset, by name
    models: Sequence[DrawnSplit]  # what trains and measures the frozen models
    names: Mapping[str, str]  # what splits are called in a dataset: train, val or test; fresh people are `val`
    draw: Callable[[Any], DrawnPhotos]
    body_measures: Callable[[Any, int], Mapping[str, float]] | None = None  # of drawn photos and a photo's number

    @property
    def key(self) -> bytes:
        """Drawn people have no secrets."""
        return hashlib.sha256(self.name.replace("-", " ").encode()).digest()


def write_dataset(
    world: World,
    data: Path,
    names: Sequence[str],
    open_test_sets: bool = False,
    seed: int | None = None,
    people: int | None = None,
) -> dict[str, Any]:
    """Draws the splits of these names into the dataset's folder `data` and locks it; killed, the same call goes on with
    it. Returns what the lock says. With `seed`, other people in the style of the one split, `people` of them.

    Raises UsageError for a folder that holds anybody else, for a test set, unless it is to be opened now, and for the
    seed of any set.
    """
    splits = {name: world.splits[name] for name in names} if seed is None else _fresh(world, names, seed, people)
    _check(world, list(splits), open_test_sets)
    if seed is None and people is not None:
        raise UsageError("--people are drawn by a --seed of your own; give one, or leave it out")
    dataset = Dataset(data)
    slugs = {name: [_slug(name, person) for person in range(split.people)] for name, split in splits.items()}
    with dataset.working():
        make_key(data, world.key)  # one for all: whom a run has seen can then be told in any folder of theirs
        dataset.prepare()
        if {row["person"] for row in dataset.catalog.summary()} - {slug for own in slugs.values() for slug in own}:
            raise UsageError(f"{data}: holds other people than these splits'; name an empty folder with --data")
        models = _models(world, splits)
        for name, split in splits.items():
            photos = world.draw(split)
            sha256s = _take_in(dataset, name, photos)
            _record_measurements(world, dataset, models, sha256s, photos)
            _record_captions(dataset, models["caption"], sha256s, photos, trained=name == "train")
        judge(dataset.catalog, world.thresholds, ModelIds(**{kind: models[kind].id for kind in _JUDGED}))
        shape = ShardSettings(splits={world.names.get(name, "val"): own for name, own in slugs.items()})
        lock = write_shards(
            ShardRecipe(name=world.name, seed=0, shape=shape, source=LockedSource(kind="folder")), dataset
        )
    note(f"{data}: {len(lock['photos'])} photos of {len(lock['people'])} people")
    return lock


def _fresh(world: World, names: Sequence[str], seed: int, people: int | None) -> dict[str, DrawnSplit]:
    """Other people than any set's, in the style of the one split of `names`."""
    if len(names) != 1:
        raise UsageError("--seed draws other people in the style of one split; name one with --splits")
    if seed in {split.seed for split in (*world.models, *world.splits.values())}:
        raise UsageError(f"--seed {seed} is a set's of the small world, whose people are not fresh; take another")
    split = world.splits[names[0]]
    drawn = replace(split, seed=seed, people=split.people if people is None else people)
    if drawn.seed < 0 or drawn.people < 1:
        raise UsageError(f"--seed {seed} --people {drawn.people}: a seed is 0 or more, and people are 1 or more")
    return {f"{names[0]}-{seed}": drawn}


def _check(world: World, names: Sequence[str], open_test_sets: bool) -> None:
    tests = [name for name in names if world.names.get(name) == "test"]
    if tests and not open_test_sets:
        raise UsageError(
            f"{tests[0]}: what is looked at in a test set, or chosen by it, can no longer be measured with it; once "
            "nothing of the method will change any more, --open-test-sets draws it"
        )
    if tests and len(names) > 1:
        raise UsageError(f"{tests[0]}: a test set goes into a folder of its own; name no other split with it")


def _slug(split: str, person: int) -> str:
    return f"{split}-p{person:04d}"


def _models(world: World, splits: Mapping[str, DrawnSplit]) -> dict[str, Model]:
    """What stands in the place of the models, by what it tells; ids change with the splits, as models' do."""
    config = str(list(splits.values()))
    sha256 = hashlib.sha256(config.encode()).hexdigest()
    names = {kind: f"{world.name}-{kind}" for kind in (*_JUDGED, "caption", "body")}
    return {kind: Model(f"{name}@{sha256[:12]}", name, sha256, config, "MIT") for kind, name in names.items()}


def _take_in(dataset: Dataset, split: str, photos: DrawnPhotos) -> list[str]:
    """Puts the photos into the store, without loss. Returns their sha256s, in order."""
    ingest = Ingest(dataset)
    each = np.bincount(photos.people)
    sha256s = []
    with tempfile.TemporaryDirectory() as folder, bar() as progress:
        file = Path(folder) / "photo.png"
        for index in progress.track(range(len(photos)), description=split):
            number = int(photos.people[index])
            person = _slug(split, number)
            Image.fromarray(photos.images[index]).save(file)
            sha256s.append(hashlib.sha256(file.read_bytes()).hexdigest())
            address = f"file:{person}/{index:05d}.png"
            ingest.add_person(ListedPerson(person, person, f"file:{person}/", int(each[number])))
            ingest.add_photo(file, address, person, address)
            ingest.commit(always=False)
        ingest.commit()
    return sha256s


def _record_measurements(
    world: World, dataset: Dataset, models: dict[str, Model], sha256s: list[str], photos: DrawnPhotos
) -> None:
    new = set(dataset.catalog.measurements.unmeasured(models["pose"].id, None))
    rows = [(index, sha256) for index, sha256 in enumerate(sha256s) if sha256 in new]
    tables = {"pose": {"detections": [_person(sha256, photos.keypoints[index]) for index, sha256 in rows]}}
    tables |= {kind: {} for kind in _JUDGED if kind not in tables}
    if measures := world.body_measures:
        tables["body"] = {"body_measures": [row for i, sha256 in rows for row in _body(sha256, measures(photos, i))]}
    measured = [Measurements(models[kind], sha256s, table) for kind, table in tables.items()]
    dataset.catalog.measurements.record_measurements(measured, {})


def _record_captions(
    dataset: Dataset, captioner: Model, sha256s: list[str], photos: DrawnPhotos, trained: bool
) -> None:
    built = [photos.build_caption(i) for i in range(len(photos))]
    told = [caption if i % 2 and trained else str(photos.caption(i)) for i, caption in enumerate(built)]
    for prompt, captions in (("", told), (BUILD, built)):
        dataset.catalog.captions.record_captions(captioner.id, prompt, dict(zip(sha256s, captions, strict=True)))
    dataset.catalog.captions.choose_captioner(captioner, "")


def _person(sha256: str, keypoints: NDArray[np.float32]) -> dict[str, Any]:
    """A row of `detections`: the one person of a photo. keypoints: (17, 3), visible 0 or 1."""
    visible = keypoints[:, 2] > 0
    x, y = (keypoints[visible] if visible.any() else keypoints)[:, :2].T
    box = [float(edge) for edge in (x.min(), y.min(), x.max(), y.max())]
    return {"sha256": sha256, "kind": "person", "score": 1.0, "box": box, "keypoints": keypoints.tolist()}


def _body(sha256: str, measures: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows of `body_measures`."""
    return [{"sha256": sha256, "name": name, "value": value} for name, value in measures.items()]


def command(world: World, description: str | None) -> None:
    """The command line of a world's `dataset` module."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--splits", nargs="+", choices=world.splits, default=["train", "validation"])
    parser.add_argument("--seed", type=int, help="draw other people in the style of the one split")
    parser.add_argument("--people", type=int, help="how many, with --seed (default: as many as the split's)")
    parser.add_argument("--open-test-sets", action="store_true", help="draw a test set: only when all else is done")
    given = parser.parse_args()
    try:
        write_dataset(world, given.data, given.splits, given.open_test_sets, given.seed, given.people)
    except BolidError as error:
        parser.exit(error.exit_code, f"bolid: error: {error}\n")

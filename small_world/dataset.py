"""Writes the small world as an ordinary dataset: `python -m small_world.dataset --data data/small-world`.

What models measure of other photos is known of drawn ones and stands in its place: the true keypoints, one person, no
watermark. From there on a dataset is made as always, by the code that judges, shards and locks, so `bolid train`,
`verify`, `status` and the rest need to know nothing of it.

The shards hold the caption without a word on the build; of those trained on, every second one has the build's words, so
that a prior of bodies given text can be learnt. For all photos the caption with the build stands where all captions
stand, in `measurements.parquet`, under the prompt "build":

    SELECT sha256, c.caption FROM (SELECT sha256, unnest(captions) AS c FROM 'measurements.parquet')
    WHERE c.prompt = 'build'

With a seed of your own, other people are drawn in the style of a split, whom nobody has seen; they are called `val`:

    python -m small_world.dataset --data data/fresh --splits test_a --seed 424242 --people 64
"""

import argparse
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from small_world.world.photos import SIDE, Photos, draw_split
from small_world.world.splits import CORPUS, HELD_OUT, SECOND_STYLE, SPLITS, Split

BUILD = "build"
"""The prompt under which the captions with the build's words stand."""

NAMES = {"train": "train", "validation": "val", "test_a": "test", "test_b": "test"}
"""What the splits are called in a dataset; fresh people are `val`."""

THRESHOLDS = Filter(min_width=SIDE, min_height=SIDE, min_photos_per_person=1)
_JUDGED = ("pose", "face", "watermark", "hash")

_KEY = hashlib.sha256(b"small world").digest()
"""Drawn people have no secrets."""


def write_dataset(
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
    splits = {name: SPLITS[name] for name in names} if seed is None else _fresh(names, seed, people)
    _check(list(splits), open_test_sets)
    if seed is None and people is not None:
        raise UsageError("--people are drawn by a --seed of your own; give one, or leave it out")
    dataset = Dataset(data)
    slugs = {name: [_slug(name, person) for person in range(split.people)] for name, split in splits.items()}
    with dataset.working():
        make_key(data, _KEY)  # one for all: whom a run has seen can then be told in any folder of theirs
        dataset.prepare()
        if {row["person"] for row in dataset.catalog.summary()} - {slug for own in slugs.values() for slug in own}:
            raise UsageError(f"{data}: holds other people than these splits'; name an empty folder with --data")
        models = _models(splits)
        for name, split in splits.items():
            photos = draw_split(split)
            sha256s = _take_in(dataset, name, photos)
            _say_what_is_true(dataset, models, sha256s, photos, name == "train")
        judge(dataset.catalog, THRESHOLDS, ModelIds(**{kind: models[kind].id for kind in _JUDGED}))
        shape = ShardSettings(splits={NAMES.get(name, "val"): own for name, own in slugs.items()})
        lock = write_shards(
            ShardRecipe(name="small-world", seed=0, shape=shape, source=LockedSource(kind="folder")), dataset
        )
    note(f"{data}: {len(lock['photos'])} photos of {len(lock['people'])} people")
    return lock


def _fresh(names: Sequence[str], seed: int, people: int | None) -> dict[str, Split]:
    """Other people than any set's, in the style of the one split of `names`."""
    if len(names) != 1:
        raise UsageError("--seed draws other people in the style of one split; name one with --splits")
    if seed in {split.seed for split in (CORPUS, HELD_OUT, SECOND_STYLE, *SPLITS.values())}:
        raise UsageError(f"--seed {seed} is a set's of the small world, whose people are not fresh; take another")
    split = SPLITS[names[0]]
    drawn = replace(split, seed=seed, people=split.people if people is None else people)
    if drawn.seed < 0 or drawn.people < 1:
        raise UsageError(f"--seed {seed} --people {drawn.people}: a seed is 0 or more, and people are 1 or more")
    return {f"{names[0]}-{seed}": drawn}


def _check(names: Sequence[str], open_test_sets: bool) -> None:
    tests = [name for name in names if NAMES.get(name) == "test"]
    if tests and not open_test_sets:
        raise UsageError(
            f"{tests[0]}: what is looked at in a test set, or chosen by it, can no longer be measured with it; once "
            "nothing of the method will change any more, --open-test-sets draws it"
        )
    if tests and len(names) > 1:
        raise UsageError(f"{tests[0]}: a test set goes into a folder of its own; name no other split with it")


def _slug(split: str, person: int) -> str:
    return f"{split}-p{person:04d}"


def _models(splits: Mapping[str, Split]) -> dict[str, Model]:
    """What stands in the place of the models, by what it tells; ids change with the splits, as models' do."""
    config = str(list(splits.values()))
    sha256 = hashlib.sha256(config.encode()).hexdigest()
    names = {kind: f"small-world-{kind}" for kind in (*_JUDGED, "caption")}
    return {kind: Model(f"{name}@{sha256[:12]}", name, sha256, config, "MIT") for kind, name in names.items()}


def _take_in(dataset: Dataset, split: str, photos: Photos) -> list[str]:
    """Puts the photos into the store, without loss. Returns their sha256s, in order."""
    ingest = Ingest(dataset)
    sha256s = []
    with tempfile.TemporaryDirectory() as folder, bar() as progress:
        file = Path(folder) / "photo.png"
        for index in progress.track(range(len(photos)), description=split):
            number = int(photos.people[index])
            person = _slug(split, number)
            Image.fromarray(photos.images[index]).save(file)
            sha256s.append(hashlib.sha256(file.read_bytes()).hexdigest())
            address = f"file:{person}/{index:05d}.png"
            ingest.add_person(ListedPerson(person, person, f"file:{person}/", photos.people.tolist().count(number)))
            ingest.add_photo(file, address, person, address)
            ingest.commit(always=False)
        ingest.commit()
    return sha256s


def _say_what_is_true(
    dataset: Dataset, models: dict[str, Model], sha256s: list[str], photos: Photos, trained: bool
) -> None:
    new = set(dataset.catalog.measurements.unmeasured(models["pose"].id, None))
    seen = [_person(sha256, photos.keypoints[i]) for i, sha256 in enumerate(sha256s) if sha256 in new]
    rows = {"pose": {"detections": seen}}
    measured = [Measurements(models[kind], sha256s, rows.get(kind, {})) for kind in _JUDGED]
    dataset.catalog.measurements.record_measurements(measured, {})
    captioner = models["caption"]
    built = [photos.build_caption(i) for i in range(len(photos))]
    told = [caption if i % 2 and trained else str(photos.caption(i)) for i, caption in enumerate(built)]
    for prompt, captions in (("", told), (BUILD, built)):
        dataset.catalog.captions.record_captions(captioner.id, prompt, dict(zip(sha256s, captions, strict=True)))
    dataset.catalog.captions.choose_captioner(captioner, "")


def _person(sha256: str, keypoints: NDArray[np.float32]) -> dict[str, Any]:
    """A row of `detections`: the one person of a photo. keypoints: (17, 3), visible 0 or 1."""
    x, y = keypoints[keypoints[:, 2] > 0, :2].T
    box = [float(edge) for edge in (x.min(), y.min(), x.max(), y.max())]
    return {"sha256": sha256, "kind": "person", "score": 1.0, "box": box, "keypoints": keypoints.tolist()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=["train", "validation"])
    parser.add_argument("--seed", type=int, help="draw other people in the style of the one split")
    parser.add_argument("--people", type=int, help="how many, with --seed (default: as many as the split's)")
    parser.add_argument("--open-test-sets", action="store_true", help="draw a test set: only when all else is done")
    arguments = parser.parse_args()
    try:
        write_dataset(arguments.data, arguments.splits, arguments.open_test_sets, arguments.seed, arguments.people)
    except BolidError as error:
        parser.exit(error.exit_code, f"bolid: error: {error}\n")


if __name__ == "__main__":
    main()

"""Draws a split: photos as arrays, with all that is true of them."""

import hashlib
import os
from concurrent.futures import as_completed
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from bolid_data import synthetic, weights
from bolid_data.atomic_io import atomic_write
from bolid_data.process_pool import drawing_pool
from bolid_data.progress import bar
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.caption import ATTRIBUTES, Description
from bolid_data.synthetic.measures import Measures
from bolid_data.synthetic.people import Person, draw_person
from bolid_data.synthetic.photo import Photo, Shot, take_photo
from small_world.labels import from_labels, to_labels
from small_world.world3d.build import describe_build
from small_world.world3d.line_drawing import draw_lines
from small_world.world3d.looks import change_appearance, draw_look_of
from small_world.world3d.splits import Split

SIDE = 128
"""Pixels of the sides of the photos."""

MEASURES = tuple(field.name for field in fields(Measures))
"""The columns of `Photos.measures`: metres, kilograms, kg/m²."""

_DRAWN = 192  # and then reduced, which leaves less noise
_FRAMINGS = dict(zip(FRAMINGS, (0.5, 0.25, 0.17, 0.08), strict=True))
_OUTFITS = 4
_PEOPLE_A_CHUNK = 8
_NOT_DRAWING = {"dataset", "pictures", "splits"}  # modules on which no pixel depends, but for the split itself


@dataclass(frozen=True)
class Photos:
    """Photos of one split in the order of its people. N photos."""

    images: NDArray[np.uint8]  # (N, SIDE, SIDE, 3) sRGB
    masks: NDArray[np.bool_]  # (N, SIDE, SIDE): the pixels of the person
    keypoints: NDArray[np.float32]  # (N, 17, 3): x, y in pixels, visible 0 or 1; COCO's order
    joints: NDArray[np.float32]  # (N, 17, 3): metres, in the camera's axes: right, down, forward
    yaws: NDArray[np.float32]  # (N,): degrees from -180 to 180; 0 faces the camera, 90 the picture's right
    labels: NDArray[np.int64]  # (N, attributes): the description, as `labels.from_labels` reads it
    people: NDArray[np.int64]  # (N,): number of the person within the split
    measures: NDArray[np.float64]  # (N, MEASURES): that person's body

    def __len__(self) -> int:
        return len(self.images)

    @property
    def framings(self) -> NDArray[np.int64]:
        """(N,) index into `camera.FRAMINGS`."""
        return self.labels[:, ATTRIBUTES.index("framing")]

    def caption(self, index: int) -> str:
        """The caption without a word on the build."""
        return self.description(index).sentence(build=False)

    def build_caption(self, index: int) -> str:
        """The caption that also describes the build in neutral words."""
        return self.description(index).sentence(build=True)

    def description(self, index: int) -> Description:
        """What is true of a photo."""
        build = describe_build(Measures(**self.body(index)))
        return replace(from_labels(self.labels[index].tolist()), build=build)

    def body(self, index: int) -> dict[str, float]:
        """The measures of a photo's person by name."""
        return dict(zip(MEASURES, self.measures[index].tolist(), strict=True))


def draw_split(split: Split, cache: Path | None = None, processes: int | None = None) -> Photos:
    """Draws the split, or reads what is in the cache (the user's own unless one is given); killed, it goes on there.

    The same split has the same pixels however many processes draw; by default, one for each core.
    """
    root = cache or Path(user_cache_dir("bolid")) / "world3d"
    folder = root / hashlib.sha256(f"{split}{_code_hash()}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [range(i, min(i + _PEOPLE_A_CHUNK, split.people)) for i in range(0, split.people, _PEOPLE_A_CHUNK)]
    paths = [folder / f"{chunk.start:05d}.npz" for chunk in chunks]
    missing = [(chunk, path) for chunk, path in zip(chunks, paths, strict=True) if not path.is_file()]
    if missing:
        _draw(split, missing, processes or os.cpu_count() or 1)
    drawn = [dict(np.load(path)) for path in paths]
    return Photos(**{field.name: np.concatenate([one[field.name] for one in drawn]) for field in fields(Photos)})


def _code_hash() -> str:
    folders = (Path(synthetic.__file__).parent, Path(__file__).parent)
    files = [file for folder in folders for file in sorted(folder.glob("*.py")) if file.stem not in _NOT_DRAWING]
    body = weights.find("synthetic-body").sha256
    return hashlib.sha256(b"".join(file.read_bytes() for file in files) + body.encode()).hexdigest()


def _draw(split: Split, chunks: list[tuple[range, Path]], processes: int) -> None:
    with drawing_pool(min(processes, len(chunks))) as pool, bar() as progress:
        line = progress.add_task("drawing the small world", total=len(chunks))
        for future in as_completed([pool.submit(_draw_chunk, split, *chunk) for chunk in chunks]):
            future.result()
            progress.advance(line)


def _draw_chunk(split: Split, people: range, path: Path) -> None:
    rows = list(chain.from_iterable(_draw_person(split, number) for number in people))
    with atomic_write(path) as part, part.open("wb") as file:
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy names its options


def _draw_person(split: Split, number: int) -> list[dict[str, Any]]:
    """The rows of `Photos` of one person."""
    person = draw_person(split.seed, number, split.variety)
    rng = np.random.default_rng((split.seed, number, 1))
    wardrobe = [draw_look_of(split.style, rng, person.sex == "woman") for _ in range(_OUTFITS)]
    # Spread evenly, so that everybody is seen from all sides.
    turns = (rng.permutation(split.photos) + rng.random(split.photos)) / split.photos
    rows = []
    for photo, turn in enumerate(turns):
        rng = np.random.default_rng((split.seed, number, 2, photo))
        look = wardrobe[int(rng.integers(_OUTFITS))]
        shown = person
        if not split.same_looks:
            look, shown = draw_look_of(split.style, rng, person.sex == "woman"), change_appearance(person, rng)
        shot = Shot(
            framing=str(rng.choice(list(_FRAMINGS), p=list(_FRAMINGS.values()))),
            yaw=float(360 * turn - 180),
            look=look,
            place=str(rng.choice(split.style.places)),
        )
        rows.append(_row(_render(split, shown, (split.seed, number, 3, photo), shot), number))
    return rows


def _render(split: Split, person: Person, seed: tuple[int, ...], shot: Shot) -> Photo:
    size = (_DRAWN, _DRAWN)
    return draw_lines(person, seed, size, shot) if split.renderer == "lines" else take_photo([person], seed, size, shot)


def _row(photo: Photo, number: int) -> dict[str, Any]:
    truth, (person,) = photo.truth, photo.truth.people
    share = cv2.resize(truth.mask.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return {
        "images": cv2.resize(photo.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA),
        "masks": np.asarray(share) > 0.5,
        "keypoints": (person.keypoints * (SIDE / _DRAWN, SIDE / _DRAWN, 1)).astype(np.float32),
        "joints": person.joints,
        "yaws": np.float32(person.yaw),
        "labels": np.array(to_labels(person.description), np.int64),
        "people": np.int64(number),
        "measures": np.array([person.measures[name] for name in MEASURES]),
    }

"""Made-up people and their true descriptions, for training the tiny BLIP-2: what is said of a photo, and its words."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from bolid_data.atomic_io import atomic_write
from bolid_data.curate.measurers.measurer import Keypoints
from bolid_data.process_pool import drawing_pool
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.caption import ATTRIBUTES, WORDS, Description
from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.lens import jpeg
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Photo, Shot, take_photo
from small_world.labels import from_labels, to_labels

SIDE = 144
"""Pixels of the square that photos are squashed to."""

TRAINING_SEED, HELD_OUT_SEED = 10_000, 7777
"""Seeds of the made-up people: chunks of those trained on count up from the first; those evaluated on."""

PEOPLE, PHOTOS = 25, 8
"""In a chunk of the training set."""

DrawSize = Callable[[np.random.Generator], tuple[int, int]]
"""Chooses a photo's width and height in pixels."""

_MIRRORED = [
    PARTS.index(part.replace("left", "right") if "left" in part else part.replace("right", "left")) for part in PARTS
]
"""The parts with left and right exchanged."""


def draw_samples(seed: int, people: Iterable[int], photos: int, draw_size: DrawSize) -> Iterator[Photo]:
    """`photos` of each of `people`, all framings equally often."""
    for index in people:
        person = draw_person(seed, index)
        for number in range(photos):
            size = draw_size(np.random.default_rng((seed, index, number, 1)))
            yield take_photo([person], (seed, index, number), size, Shot(framing=FRAMINGS[number % len(FRAMINGS)]))


def described(sample: Photo) -> Description:
    """What is true of the photo's person."""
    return sample.truth.people[0].description


def full_size(rng: np.random.Generator) -> tuple[int, int]:
    """As large as the gallery's photos."""
    return int(rng.integers(1000, 1101)), int(rng.integers(1340, 1481))


def small_size(rng: np.random.Generator) -> tuple[int, int]:
    """A size that is drawn several times as fast, in upright formats."""
    height = int(rng.integers(160, 193))
    return round(height * rng.uniform(0.64, 0.88)), height


def draw_chunk(path: Path) -> None:
    """A part of the training set in a file: PEOPLE people, PHOTOS photos each, already shrunk."""
    images, classes, parts, surfaces = [], [], [], []
    for sample in draw_samples(int(path.stem), range(PEOPLE), PHOTOS, small_size):
        images.append(_squashed(sample.image, Image.Resampling.BICUBIC))
        parts.append(_squashed(sample.truth.parts, Image.Resampling.NEAREST))
        surfaces.append(_squashed(sample.truth.surfaces, Image.Resampling.NEAREST))
        classes.append(to_labels(described(sample)))
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file, images=images, labels=np.array(classes, np.int16), parts=parts, surfaces=surfaces
        )  # fmt: skip


def _squashed(picture: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), how))


def training_set(folder: Path, chunks: int, workers: int) -> list[np.ndarray]:
    """Images (n, SIDE, SIDE, 3) uint8, classes (n, attributes), and parts and surfaces (n, SIDE, SIDE), drawn unless
    the folder has them."""
    paths = [folder / f"{seed}.npz" for seed in range(TRAINING_SEED, TRAINING_SEED + chunks)]
    if missing := [path for path in paths if not path.exists()]:
        with drawing_pool(workers) as pool:
            list(pool.map(draw_chunk, missing))
    chunked = [np.load(path) for path in paths]
    return [np.concatenate([chunk[name] for chunk in chunked]) for name in ("images", "labels", "parts", "surfaces")]


def augment(images: Tensor, parts: Tensor, surfaces: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Half of a batch mirrored; every photo enlarged or reduced, stretched, turned and moved, its colours made lighter,
    darker, warmer or colder, and noise added. All (b, c, SIDE, SIDE)."""
    count = len(images)
    mirror = np.where(rng.random(count) < 0.5, -1, 1)
    wide, high = rng.uniform(0.93, 1.07, (2, count)) * rng.uniform(0.9, 1.2, count)
    angle, across, down = rng.normal(0, 0.06, count), *rng.uniform(-0.08, 0.08, (2, count))
    rows = [[wide * mirror * np.cos(angle), -np.sin(angle), across], [np.sin(angle), high * np.cos(angle), down]]
    grid = nn.functional.affine_grid(
        torch.from_numpy(np.moveaxis(np.array(rows), 2, 0).astype(np.float32)), list(images.shape), align_corners=False
    )
    moved = nn.functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    maps = torch.cat([parts, surfaces], 1).float()
    maps = nn.functional.grid_sample(maps, grid, "nearest", "border", align_corners=False).round().long()
    flipped = torch.from_numpy(mirror < 0)[:, None, None]
    sides = torch.where(flipped, torch.tensor(_MIRRORED)[maps[:, 0]], maps[:, 0])
    gain = rng.uniform(0.94, 1.06, (count, 1, 1, 1)) * rng.uniform(0.98, 1.02, (count, 3, 1, 1))
    noise = rng.standard_normal(images.shape, np.float32) * rng.uniform(0, 8, (count, 1, 1, 1)).astype(np.float32)
    lit = moved * torch.from_numpy(gain.astype(np.float32)) + torch.from_numpy(noise)
    return lit.clamp(0, 255), sides[:, None], maps[:, 1:]


@dataclass(frozen=True)
class HeldOut:
    """A photo of a person that training never sees, as a file of full size, and what is true of it."""

    path: Path
    description: Description
    keypoints: Keypoints


def held_out_set(folder: Path, people: int, photos: int, workers: int) -> list[HeldOut]:
    """`photos` of each of `people`, drawn unless the folder has them."""
    table = folder / "truth.jsonl"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with drawing_pool(workers) as pool:
            lines = pool.map(_draw_held_out, [folder] * people, range(people), [photos] * people)
            text = "".join(lines)
        table.write_text(text, encoding="utf-8")
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    return [HeldOut(folder / name, from_labels(classes), keypoints) for name, classes, keypoints in rows]


def _draw_held_out(folder: Path, person: int, photos: int) -> str:
    """The files of a person's photos; the lines of the table."""
    lines = []
    for number, sample in enumerate(draw_samples(HELD_OUT_SEED, [person], photos, full_size)):
        name = f"{person:04d}-{number}.jpg"
        (folder / name).write_bytes(jpeg(sample.image))
        lines.append(json.dumps([name, to_labels(described(sample)), sample.truth.people[0].keypoints.tolist()]) + "\n")
    return "".join(lines)


_SAID = {
    "framing": r"(full-body|knees-up|waist-up|head-and-shoulders) photo",
    "facing": rf"({'|'.join(WORDS['facing'])})",
    "hair": r"(\w+) hair",
    "sleeves": rf"({'|'.join(WORDS['sleeves'])})",
    "top": rf"(\w+) (?:{'|'.join(WORDS['garment'])})",
    "garment": rf"({'|'.join(WORDS['garment'])})",
    "bottom": r"(\w+) (?:trousers|shorts|skirt|bottoms)",
    "legs": r"(trousers|shorts or skirt|shorts|skirt)",
    "stance": rf"({'|'.join(WORDS['stance'])})",
    "arms": rf"({'|'.join(WORDS['arms'])})",
    "place": rf"({'|'.join(WORDS['place'])})",
}
_AS_GOOD = {"shorts or skirt": ("shorts", "skirt")}
"""Other words of `describe`, and what they are right for."""


def says(caption: str, description: Description) -> list[float]:
    """For each attribute 1 where the caption has its word, 0 where it has a wrong one, -1 where it has none, NaN where
    the photo does not show the attribute. Reads the captions of `describe` too."""
    verdicts = []
    for name in ATTRIBUTES:
        due = getattr(description, name)
        found = re.search(_SAID[name], caption)
        right = found is not None and due in (found[1], *_AS_GOOD.get(found[1], ()))
        verdicts.append(float("nan") if not due else float(right) if found else -1.0)
    return verdicts

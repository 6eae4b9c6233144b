"""Drawn people and their true descriptions, for training the tiny BLIP-2: what is said of a photo, and its words."""

import json
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from bolid_data.atomic_io import atomic_write
from bolid_data.curate.measurers.measurer import Keypoints
from bolid_data.gallery.nuisance import encode, size_of
from small_world.flat.description import ARMS, ATTRIBUTES, FRAMING, SCENE, SLEEVES, WORDS, Description
from small_world.flat.people import Person, draw_people
from small_world.flat.photo import FRAMINGS, DrawnPhoto, Shot, draw_photo

SIDE = 128
"""Pixels of the square that photos are squashed to."""

PATCH = 16
"""Pixels of the sides of the patches that the image encoder sees it in."""

JOINTS = 12
"""From the shoulders down: the last ones of COCO's order."""

MIRRORED = [0, *(joint + 1 if joint % 2 else joint - 1 for joint in range(1, 17))]
"""The joints' order with left and right exchanged."""

TRAINING_SEED, HELD_OUT_SEED = 10_000, 7777
"""Seeds of the drawn people: chunks of those trained on count up from the first; those evaluated on."""

PEOPLE, PHOTOS = 50, 10
"""In a chunk of the training set."""

DrawSize = Callable[[np.random.Generator], tuple[int, int]]
"""Chooses a photo's width and height in pixels."""


def draw_described(
    seed: int, index: int, number: int, size: tuple[int, int], person: Person
) -> tuple[DrawnPhoto, Description]:
    """Photo `number` of `person`, the `index`-th of `seed`, of `size` (width, height), and what is true of it."""
    rng = np.random.default_rng((seed, index, 4, number))
    outfit = person.outfits[int(rng.integers(len(person.outfits)))]
    framing = str(rng.choice(list(FRAMINGS)))
    shot = Shot((replace(person, outfits=(outfit,)),), framing, size, (seed, index, 5, number))
    photo = draw_photo(shot)
    facts = photo.facts or {}
    below = framing != "bust"
    return photo, Description(
        framing=FRAMING[framing],
        hair=person.hair,
        sleeves=SLEEVES[outfit.sleeves],
        top=outfit.top,
        bottom=outfit.bottom if below else "",
        legs=outfit.legs if below else "",
        arms=ARMS[facts["arms"]],
        background=SCENE[facts["background"]],
    )


def draw_samples(seed: int, people: int, photos: int, draw_size: DrawSize) -> Iterator[tuple[DrawnPhoto, Description]]:
    """`photos` of each of `people`."""
    for index, person in enumerate(draw_people(people, seed)):
        for number in range(photos):
            size = draw_size(np.random.default_rng((seed, index, 6, number)))
            yield draw_described(seed, index, number, size, person)


def full_size(rng: np.random.Generator) -> tuple[int, int]:
    """As large as the gallery's photos."""
    return size_of(rng, "clean")


def small_size(rng: np.random.Generator) -> tuple[int, int]:
    """A size that is drawn twenty times as fast, in upright formats."""
    height = int(rng.integers(256, 385))
    return round(height * rng.uniform(0.64, 0.88)), height


def draw_chunk(path: Path) -> None:
    """A part of the training set in a file: PEOPLE people, PHOTOS photos each, already shrunk."""
    cv2.setNumThreads(1)
    drawn = list(draw_samples(int(path.stem), PEOPLE, PHOTOS, small_size))
    images = [photo.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for photo, _ in drawn]
    classes = np.array([labels(description) for _, description in drawn], np.int16)
    points = np.array([[point[:2] for point in photo.keypoints or []] for photo, _ in drawn])
    shares = points / np.array([photo.image.size for photo, _ in drawn])[:, None]
    with atomic_write(path) as part, part.open("wb") as file:
        pixels = np.stack([np.asarray(image) for image in images])
        np.savez(file, images=pixels, labels=classes, keypoints=shares.astype(np.float16))


def training_set(folder: Path, chunks: int, workers: int) -> list[np.ndarray]:
    """Images (n, SIDE, SIDE, 3) uint8, classes (n, attributes) and keypoints (n, 17, 2) as shares of width and height,
    drawn unless the folder has them."""
    paths = [folder / f"{seed}.npz" for seed in range(TRAINING_SEED, TRAINING_SEED + chunks)]
    if missing := [path for path in paths if not path.exists()]:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(draw_chunk, missing))
    parts = [np.load(path) for path in paths]
    return [np.concatenate([part[name] for part in parts]) for name in ("images", "labels", "keypoints")]


def augment(images: Tensor, keypoints: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of a batch mirrored; every photo moved by up to 4 pixels, and made lighter or darker.

    images: (b, 3, SIDE, SIDE); keypoints: (b, 17, 2), shares of the width and height. Returns images and the patches
    (b, JOINTS) that the joints lie in, -100 for none.
    """
    flipped = torch.from_numpy(rng.random(len(images)) < 0.5)
    photos = torch.where(flipped[:, None, None, None], images.flip(3), images).float()
    padded = nn.functional.pad(photos, (4, 4, 4, 4), mode="replicate")
    corners = rng.integers(0, 9, (len(images), 2))
    moved = torch.stack([p[:, y : y + SIDE, x : x + SIDE] for p, (y, x) in zip(padded, corners, strict=True)])
    gain = torch.from_numpy(rng.uniform(0.95, 1.05, (len(images), 1, 1, 1)).astype(np.float32))
    mirrored = keypoints[:, MIRRORED] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    points = torch.where(flipped[:, None, None], mirrored, keypoints)[:, -JOINTS:]
    places = points * SIDE + 4 - torch.from_numpy(corners[:, None, ::-1].copy())
    column, row = (places / PATCH).floor().long().unbind(-1)
    inside = ((places >= 0) & (places < SIDE)).all(-1)
    return (moved * gain).clamp(0, 255), torch.where(inside, row * (SIDE // PATCH) + column, -100)


@dataclass(frozen=True)
class HeldOut:
    """A photo of a person that training never sees, as a file of full size, and what is true of it."""

    path: Path
    description: Description
    keypoints: Keypoints


def held_out_set(folder: Path, people: int, photos: int) -> list[HeldOut]:
    """`photos` of each of `people`, drawn unless the folder has them."""
    table = folder / "truth.jsonl"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for number, (photo, description) in enumerate(draw_samples(HELD_OUT_SEED, people, photos, full_size)):
            (folder / f"{number:04d}.jpg").write_bytes(encode(photo.image, quality=90))
            lines.append(json.dumps([f"{number:04d}.jpg", labels(description), photo.keypoints]) + "\n")
        table.write_text("".join(lines), encoding="utf-8")
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    return [HeldOut(folder / name, from_labels(classes), keypoints) for name, classes, keypoints in rows]


def labels(description: Description) -> list[int]:
    """The attributes as class numbers, in the order of ATTRIBUTES; an attribute that is "" comes after the others."""
    values = zip(ATTRIBUTES, astuple(description), strict=True)
    return [WORDS[name].index(value) if value else len(WORDS[name]) for name, value in values]


def from_labels(classes: Sequence[int]) -> Description:
    """The description that `labels` made class numbers of."""
    return Description(*(([*WORDS[name], ""])[value] for name, value in zip(ATTRIBUTES, classes, strict=True)))


_SAID = {
    "framing": r"(full-body|knees-up|waist-up|head-and-shoulders) photo",
    "hair": r"(\w+) hair",
    "sleeves": r"(long-sleeved|short-sleeved|sleeveless)",
    "top": r"(\w+) top",
    "bottom": r"(\w+) (?:trousers|shorts|skirt|bottoms)",
    "legs": r"(trousers|shorts or skirt|shorts|skirt)",
    "arms": rf"({'|'.join(ARMS.values())})",
    "background": rf"({'|'.join(SCENE.values())})",
}
_AS_GOOD = {"head-and-shoulders": ("waist-up",), "shorts or skirt": ("shorts", "skirt")}
"""Other words of `describe`, and what they are right for."""


def says(caption: str, description: Description) -> list[float]:
    """For each attribute 1 where the caption has its word, 0 where it has a wrong one, -1 where it has none, NaN where
    the photo does not show the attribute. Reads the captions of `describe` too."""
    verdicts = []
    for name, due in zip(ATTRIBUTES, astuple(description), strict=True):
        found = re.search(_SAID[name], caption)
        right = found is not None and due in (found[1], *_AS_GOOD.get(found[1], ()))
        verdicts.append(float("nan") if not due else float(right) if found else -1.0)
    return verdicts

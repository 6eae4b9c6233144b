"""Draws a split: photos as arrays, with all that is true of them."""

import hashlib
import os
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from bolid_data.process_pool import drawing_pool
from bolid_data.progress import bar
from small_world import flat
from small_world.flat.description import ARMS, FRAMING, SCENE, SLEEVES
from small_world.flat.people import SKINS, Outfit, Person, draw_outfit, draw_person
from small_world.flat.photo import Shot, draw_photo
from small_world.world.bodies import build, describe, draw_traits
from small_world.world.captions import HAIRCUT, SKIN, Caption, from_labels, to_labels
from small_world.world.splits import Split, Style

SIDE = 64
"""Pixels of the sides of the small world's photos."""

_DRAWN = 192  # and then made smaller, as a photo from the gallery would be
_FRAMINGS = {"full": 0.55, "knees_up": 0.3, "bust": 0.15}
_PEOPLE_A_CHUNK = 25


@dataclass(frozen=True)
class Photos:
    """Photos of one split in the order of its people. N photos."""

    images: NDArray[np.uint8]  # (N, SIDE, SIDE, 3)
    keypoints: NDArray[np.float32]  # (N, 17, 3): x, y in pixels, visible 0 or 1; COCO order
    labels: NDArray[np.int64]  # (N, attributes): the caption, as `captions.from_labels` reads it
    people: NDArray[np.int64]  # (N,): number of the person within the split
    traits: NDArray[np.float64]  # (N, traits): that person's body

    def __len__(self) -> int:
        return len(self.images)

    def caption(self, index: int) -> Caption:
        """What is true of a photo; `str` of it is the caption without a word on the build."""
        return from_labels(self.labels[index].tolist())

    def build_caption(self, index: int) -> str:
        """The caption that also says the build in coarse words."""
        return self.caption(index).sentence(describe(self.traits[index]))


def draw_split(split: Split, cache: Path | None = None) -> Photos:
    """Draws the split, or reads it from the cache (the user's own unless one is given) if it is there.

    The same split has the same pixels on every machine of one OpenCV, however many processes draw.
    """
    folder = cache or Path(user_cache_dir("bolid")) / "world"
    path = folder / f"{hashlib.sha256(f'{split}{_code_hash()}'.encode()).hexdigest()[:16]}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez(unfinished, **vars(_draw(split)))
        unfinished.replace(path)
    with np.load(path) as arrays:
        return Photos(**arrays)


def _code_hash() -> str:
    folders = (Path(flat.__file__).parent, Path(__file__).parent)
    files = chain.from_iterable(sorted(folder.glob("*.py")) for folder in folders)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _draw(split: Split) -> Photos:
    chunks = [range(i, min(i + _PEOPLE_A_CHUNK, split.people)) for i in range(0, split.people, _PEOPLE_A_CHUNK)]
    workers = max(1, min(os.cpu_count() or 1, len(chunks)))
    with drawing_pool(workers) as pool, bar() as progress:
        line = progress.add_task("drawing the small world", total=len(chunks))
        rows = []
        for chunk in pool.map(_draw_people, [split] * len(chunks), chunks):
            rows += chunk
            progress.advance(line)
    images, keypoints, labels, people, traits = zip(*rows, strict=True)
    return Photos(
        np.stack(images),
        np.stack(keypoints).astype(np.float32),
        np.array(labels, np.int64),
        np.array(people, np.int64),
        np.stack(traits),
    )


def _draw_people(split: Split, people: range) -> list[tuple]:
    return [row for person in people for row in _draw_person(split, person)]


def _draw_person(split: Split, number: int) -> list[tuple]:
    rng = np.random.default_rng((split.seed, number, 0))
    traits = draw_traits(rng)
    body = build(traits, split.law)
    person = _draw_looks(rng, split.style)
    rows = []
    for photo in range(split.photos):
        rng = np.random.default_rng((split.seed, number, 1, photo))
        looks = person if split.same_looks else _draw_looks(rng, split.style)
        outfit = looks.outfits[int(rng.integers(len(looks.outfits)))]
        framing = str(rng.choice(list(_FRAMINGS), p=list(_FRAMINGS.values())))
        drawn = draw_photo(
            Shot(
                (replace(looks, build=body, outfits=(outfit,)),), framing, (_DRAWN, _DRAWN),
                (split.seed, number, 2, photo), split.style.scenes, split.canvas,
            )
        )  # fmt: skip
        image = cv2.resize(np.asarray(drawn.image), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        facts = drawn.facts or {}
        caption = _caption(looks, outfit, framing, facts["arms"], facts["background"])
        keypoints = np.array(drawn.keypoints) * (SIDE / _DRAWN, SIDE / _DRAWN, 1)
        rows.append((image, keypoints, to_labels(caption), number, traits))
    return rows


def _draw_looks(rng: np.random.Generator, style: Style) -> Person:
    """Skin, hair and wardrobe of somebody; women's and men's outfits alike, for the body does not depend on them."""
    person = draw_person(int(rng.integers(2**31)))
    woman = bool(rng.random() < 0.5)
    if not woman:
        person = replace(person, haircut=str(rng.choice(["short", "crop", "curly"])), beard=bool(rng.random() < 0.4))
    outfits: list[Outfit] = []
    while len(outfits) < 4:
        outfit = draw_outfit(rng, woman)
        if outfit.legs in style.legs and {outfit.top, outfit.bottom} <= set(style.colours):
            outfits.append(outfit)
    return replace(person, outfits=tuple(outfits))


def _caption(person: Person, outfit: Outfit, framing: str, arms: str, scene: str) -> Caption:
    below = framing != "bust"
    return Caption(
        framing=FRAMING[framing],
        skin=SKIN[SKINS.index(person.skin) * len(SKIN) // len(SKINS)],
        haircut=HAIRCUT[person.haircut],
        hair=person.hair,
        sleeves=SLEEVES[outfit.sleeves],
        top=outfit.top,
        bottom=outfit.bottom if below else "",
        legs=outfit.legs if below else "",
        arms=ARMS[arms],
        background=SCENE[scene],
    )

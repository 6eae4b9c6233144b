"""Nuisances: what a real gallery has besides clean photos, and the reason expected for each kind."""

import io
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

from bolid_data.gallery import overlay

DRAWN = ("small", *overlay.KINDS, "two_people", "three_people", "nobody", "two_names")
"""Kinds with a picture of their own."""
DERIVED = ("same_bytes", "reencoded", "truncated", "html")
"""Kinds made from a clean photo's file, or from none."""
KINDS = (*DRAWN, *DERIVED)

REASONS = {
    "small": "too_small", "watermark_text": "watermarked", "watermark_tiled": "watermarked",
    "watermark_logo": "watermarked", "two_people": "several_people", "three_people": "several_people",
    "nobody": "no_person", "reencoded": "duplicate", "two_names": "two_names", "truncated": "broken", "html": "broken",
}  # fmt: skip
_MAY = {"two_people": ("several_faces",), "three_people": ("several_faces",), "nobody": ("few_keypoints",)}
_FEW_JOINTS = 9  # six must be found, and not all that is visible is
_SMALLEST_CLEAN = 1000


@dataclass(frozen=True)
class Nuisance:
    """A nuisance among a person's photos; `strength` is for watermarks only."""

    kind: str
    strength: str | None


def may(kind: str, visible: int = 0) -> tuple[str, ...]:
    """Other reasons that are also correct: with few joints `visible`, as on a bust, too few keypoints may be found."""
    few = 0 < visible < _FEW_JOINTS
    return (*_MAY.get(kind, ()), *(("few_keypoints",) if few else ()))


def distribute(people: int, photos: int, seed: int) -> list[list[Nuisance]]:
    """The nuisances of each person: about 0.4 per clean photo; every kind occurs at least once among two or more."""
    rng = np.random.default_rng((seed, people, photos))
    kinds = [kind for kind in KINDS if people > 1 or kind != "two_names"]
    per_person = max(-(-len(kinds) // people), round(photos * 0.4))
    nuisances: list[Nuisance] = []
    while len(nuisances) < per_person * people:
        strengths = iter(("faint", "strong") * 2 if len(nuisances) // len(kinds) % 2 else ("strong", "faint") * 2)
        nuisances += [Nuisance(kind, next(strengths) if kind in overlay.KINDS else None) for kind in kinds]
    nuisances = nuisances[: per_person * people]
    order = rng.permutation(len(nuisances))
    return [[nuisances[i] for i in order[person::people]] for person in range(people)]


def size_of(rng: np.random.Generator, kind: str) -> tuple[int, int]:
    """A width and height in pixels for a picture of this kind."""
    if kind == "small":
        return int(rng.integers(640, 960)), int(rng.integers(900, 1300))
    if kind in ("two_people", "three_people"):
        return int(rng.integers(1350, 1501)), int(rng.integers(1060, 1201))
    return int(rng.integers(1000, 1101)), int(rng.integers(1340, 1481))


def encode(image: Image.Image, quality: int) -> bytes:
    """The image as a JPEG file."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def derive(kind: str, original: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of a derived nuisance, from those of a clean photo."""
    if kind == "same_bytes":
        return original
    if kind == "reencoded":
        return _reencode(original, rng)
    if kind == "truncated":
        return original[: round(len(original) * rng.uniform(0.55, 0.65))]
    number = rng.integers(10**6)
    return f"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found: {number}</body></html>\n".encode()


def _reencode(original: bytes, rng: np.random.Generator) -> bytes:
    """The same picture in fewer bytes, sometimes slightly smaller, with a perceptual hash within 2 bits."""
    image = Image.open(io.BytesIO(original))
    smaller = max(0.92, _SMALLEST_CLEAN / min(image.size))
    shares = [smaller, 1.0] if rng.random() < 0.5 else [1.0]
    quality = int(rng.integers(60, 76))
    for share in shares:
        copy = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)
        data = encode(copy, quality)
        if imagehash.phash(Image.open(io.BytesIO(data))) - imagehash.phash(image) <= 2:
            break
    return data

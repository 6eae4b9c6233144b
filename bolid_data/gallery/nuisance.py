"""What a real gallery has beside clean photos, and what a judge should say of each kind."""

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
_MAY = {"two_people": ["several_faces"], "three_people": ["several_faces"], "nobody": ["few_keypoints"]}
_SMALLEST_CLEAN = 1000


@dataclass(frozen=True)
class Nuisance:
    """A kind that a person's gallery gets; `strength` for watermarks only."""

    kind: str
    strength: str | None


def may(kind: str, framing: str | None) -> list[str]:
    """Reasons that would be right as well: what is cropped below the chest may show too few keypoints."""
    return [*_MAY.get(kind, []), *(["few_keypoints"] if framing == "bust" else [])]


def deal(people: int, photos: int, seed: int) -> list[list[Nuisance]]:
    """The nuisances of each person: about 0.4 a clean photo, and every kind at least once among two people or more."""
    rng = np.random.default_rng((seed, people, photos))
    kinds = [kind for kind in KINDS if people > 1 or kind != "two_names"]
    each = max(-(-len(kinds) // people), round(photos * 0.4))
    deck: list[Nuisance] = []
    while len(deck) < each * people:
        strengths = iter(("faint", "strong") * 2 if len(deck) // len(kinds) % 2 else ("strong", "faint") * 2)
        deck += [Nuisance(kind, next(strengths) if kind in overlay.KINDS else None) for kind in kinds]
    deck = deck[: each * people]
    order = rng.permutation(len(deck))
    return [[deck[i] for i in order[person::people]] for person in range(people)]


def size_of(rng: np.random.Generator, kind: str) -> tuple[int, int]:
    """Width and height in pixels that a picture of this kind has."""
    if kind == "small":
        return int(rng.integers(640, 960)), int(rng.integers(900, 1300))
    if kind in ("two_people", "three_people"):
        return int(rng.integers(1350, 1601)), int(rng.integers(1100, 1301))
    return int(rng.integers(1024, 1201)), int(rng.integers(1365, 1601))


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
    """The same picture in fewer bytes, sometimes a little smaller, its perceptual hash within 2 bits."""
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

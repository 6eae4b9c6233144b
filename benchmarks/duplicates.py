"""Near copies: which kinds are found, how many false merges there are, and the time compared with all pairs.

Photos are drawn: copies are made of PHOTOS photos; false merges are counted among PEOPLE × EACH others, drawn small, as
the hash uses 32 × 32 pixels (their hashes are cached in the temporary folder).
"""

import io
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.memory import peak_memory
from bolid_data.catalog import Catalog
from bolid_data.catalog.near_copies import Hashes
from bolid_data.curate import near_duplicates
from bolid_data.curate.measurers.perceptual_hash import HashMeasurer, hash_views
from bolid_data.gallery.overlay import overlay
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.people import Person, draw_person
from bolid_data.synthetic.photo import Shot, take_photo

PHOTOS, PEOPLE, EACH, SEED = 200, 200, 50, 77
MAX_HAMMING = 4  # the default in the manifest
QUERIES = 1_000  # photos that are compared with all others, to extrapolate the time for all

Copy = Callable[[Image.Image, np.random.Generator], Image.Image]


def _encoded(image: Image.Image, format: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, format, quality=quality)
    return Image.open(file).convert("RGB")


def _cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
    )


def _one_side(image: Image.Image, rng: np.random.Generator, share: float) -> Image.Image:
    shares = [0.0] * 4
    shares[rng.integers(4)] = share
    return _cut(image, *shares)


def _bordered(image: Image.Image, rng: np.random.Generator, share: float) -> Image.Image:
    return ImageOps.expand(image, round(image.width * share), str(rng.choice(["white", "black"])))


def _signed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A watermark of a quarter of the width in a corner."""
    size = (image.width * 3 // 10, image.height // 12)
    corner = ((image.width - size[0]) * int(rng.integers(2)), (image.height - size[1]) * int(rng.integers(2)))
    copy = image.copy()
    copy.paste(
        overlay(image.crop((*corner, corner[0] + size[0], corner[1] + size[1])), "watermark_text", "strong", rng),
        corner,
    )
    return copy


def _resized(image: Image.Image, share: float) -> Image.Image:
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)


KINDS: dict[str, Copy] = {
    "resized to 75 %": lambda image, _: _resized(image, 0.75),
    "resized to 50 %": lambda image, _: _resized(image, 0.5),
    "JPEG, quality 70": lambda image, _: _encoded(image, "JPEG", 70),
    "JPEG, quality 50": lambda image, _: _encoded(image, "JPEG", 50),
    "JPEG, quality 30": lambda image, _: _encoded(image, "JPEG", 30),
    "WebP, quality 50": lambda image, _: _encoded(image, "WEBP", 50),
    "half the size, JPEG, quality 50": lambda image, _: _encoded(_resized(image, 0.5), "JPEG", 50),
    "brighter by 15 %": lambda image, _: ImageEnhance.Brightness(image).enhance(1.15),
    "contrast up by 20 %": lambda image, _: ImageEnhance.Contrast(image).enhance(1.2),
    "made grey": lambda image, _: ImageOps.grayscale(image).convert("RGB"),
    "a small mark in a corner": _signed,
    "a large watermark": lambda image, rng: overlay(image, "watermark_text", "strong", rng),
    "2 % off one side": lambda image, rng: _one_side(image, rng, 0.02),
    "5 % off one side": lambda image, rng: _one_side(image, rng, 0.05),
    "10 % off one side": lambda image, rng: _one_side(image, rng, 0.1),
    "0 to 10 % off one side": lambda image, rng: _one_side(image, rng, rng.uniform(0, 0.1)),
    "2 % off every side": lambda image, _: _cut(image, *[0.02] * 4),
    "5 % off every side": lambda image, _: _cut(image, *[0.05] * 4),
    "10 % off every side": lambda image, _: _cut(image, *[0.1] * 4),
    "0 to 10 % off every side": lambda image, rng: _cut(image, *[rng.uniform(0, 0.1)] * 4),
    "0 to 5 % off each side, each its own": lambda image, rng: _cut(image, *rng.uniform(0, 0.05, 4)),
    "a border of 3 %": lambda image, rng: _bordered(image, rng, 0.03),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "mirrored, half the size, JPEG, quality 50": lambda image, _: _encoded(_resized(ImageOps.mirror(image), 0.5), "JPEG", 50),  # noqa: E501
    "mirrored and 5 % off one side": lambda image, rng: _one_side(ImageOps.mirror(image), rng, 0.05),
}  # fmt: skip


def table() -> str:
    return "\n\n".join((recall(), false_merges(), index(), between_people()))


def recall() -> str:
    """A table: kind of copy, share found with view hashes and by the hash alone."""
    originals = [_photo(draw_person(SEED + 1, i), (SEED + 1, i), (600, 800), FRAMINGS[i % 4]) for i in range(PHOTOS)]
    hashes = _hashes(originals)
    lines = [
        f"| copy of {PHOTOS} photos | found within {MAX_HAMMING} bits | by the hash alone |",
        "| --- | ---: | ---: |",
    ]
    for kind, copy in KINDS.items():
        rng = np.random.default_rng(SEED)
        copies = _hashes([copy(image, rng) for image in originals])
        alone = np.bitwise_count(hashes[:, 0] ^ copies[:, 0])
        with_views = np.minimum(
            np.bitwise_count(hashes[:, :1] ^ copies).min(1), np.bitwise_count(copies[:, :1] ^ hashes).min(1)
        )
        lines.append(f"| {kind} | {(with_views <= MAX_HAMMING).mean():.1%} | {(alone <= MAX_HAMMING).mean():.1%} |")
    return "\n".join(lines)


def _hashes(images: list[Image.Image]) -> np.ndarray:
    """uint64 (n, 1 + views)."""
    rows = [hash_views(image) for image in images]
    return np.array([[row["phash"], *row["views"]] for row in rows], np.uint64)


def false_merges() -> str:
    """A table: pairs of distinct photos within so many bits, of one person and of any people."""
    hashes = distinct()
    people = np.repeat(np.arange(PEOPLE), EACH)
    counted = ((hashes[:, :1], "the hash alone"), (hashes, "with views"))
    lines = [
        f"| {len(people):,} distinct photos, pairs within | of one person | of any people |",
        "| --- | ---: | ---: |",
    ]
    for compared, what in counted:
        distances: dict[tuple[str, str], int] = {}
        for pairs in near_duplicates.find_pairs(_photos(compared)):
            for a, b, distance in zip(pairs.a, pairs.b, pairs.distance.tolist(), strict=True):
                distances[a, b] = min(distance, distances.get((a, b), 99))
        within = [distance for (a, b), distance in distances.items() if people[int(a)] == people[int(b)]]
        for bits in (2, 4, 6, 8, 10):
            counts = [sum(distance <= bits for distance in group) for group in (within, distances.values())]
            lines.append(f"| {bits} bits, {what} | {counts[0]:,} | {counts[1]:,} |")
    within_person, all_pairs = PEOPLE * EACH * (EACH - 1) // 2, len(people) * (len(people) - 1) // 2
    return "\n".join([*lines, f"| of all pairs | {within_person:,} | {all_pairs:,} |"])


def distinct() -> np.ndarray:
    """Hashes and views (PEOPLE × EACH, 1 + views) of as many drawn photos, no two of the same scene."""
    name = f"bolid-distinct-{PEOPLE}x{EACH}-{HashMeasurer().model.id.partition('@')[2]}.npy"
    cached = Path(tempfile.gettempdir()) / name
    if not cached.exists():
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            np.save(cached, np.concatenate(list(pool.map(_of_one_person, range(PEOPLE)))))
    return np.asarray(np.load(cached))


def _of_one_person(number: int) -> np.ndarray:
    cv2.setNumThreads(1)
    person = draw_person(SEED, number)
    return _hashes([_photo(person, (SEED, number, i), (240, 320)) for i in range(EACH)])


def _photo(person: Person, seed: tuple[int, ...], size: tuple[int, int], framing: str | None = None) -> Image.Image:
    return Image.fromarray(take_photo([person], seed, size, Shot(framing)).image)


def _photos(hashes: np.ndarray) -> Hashes:
    owners = np.repeat(np.arange(len(hashes), dtype=np.int32), hashes.shape[1] - 1)
    sha256s = np.array([f"{place:064}" for place in range(len(hashes))], "S64")
    return Hashes(sha256s, hashes[:, 0], hashes[:, 1:].ravel(), owners)


def index() -> str:
    """A table: people × photos, seconds and peak memory of `near_duplicates.find`, and of comparing all pairs."""
    lines = [
        "| photos | ours: catalog to catalog | peak memory | all pairs, faiss | pairs found |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for people, each in ((1, 10_000), (1, 100_000), (200, 500), (2_000, 500)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "catalog.duckdb"
            hashes = _many(people * each)
            _fill(path, hashes, people)
            # In turn, each in a process of its own.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds, peak, pairs = pool.submit(_find, path, near_duplicates.find).result()
        brute = people * _compare_all(hashes[:each])
        lines.append(f"| {people:,} × {each:,} | {seconds:.1f} s | {peak:.0f} MiB | {brute:.1f} s | {pairs:,} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def between_people() -> str:
    """A table: photos of all people compared with each other, seconds and peak memory."""
    lines = ["| photos of all people | seconds | peak memory | pairs found |", "| --- | ---: | ---: | ---: |"]
    for count in (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "catalog.duckdb"
            _fill(path, _many(count), count // 500)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds, peak, pairs = pool.submit(_find, path, near_duplicates.find_between_people).result()
        lines.append(f"| {count:,} | {seconds:.1f} s | {peak:.0f} MiB | {pairs:,} |")
    return "\n".join(lines)


def _many(count: int) -> np.ndarray:
    """Hashes distributed as unevenly as those of drawn photos: copies of these with random bits flipped."""
    rng = np.random.default_rng(SEED)
    base = distinct()
    flips = np.packbits(rng.random((count, 64), np.float32) < 0.2, axis=1).view(np.uint64)
    return base[rng.integers(len(base), size=count)] ^ flips


def _fill(path: Path, hashes: np.ndarray, people: int) -> None:
    catalog = Catalog(path)
    catalog.create()
    with catalog.open() as con:
        for first in range(0, len(hashes), 100_000):
            part = hashes[first : first + 100_000]
            columns = {f"h{i}": np.ascontiguousarray(part[:, i]) for i in range(part.shape[1])}
            con.register("part", {"place": np.arange(first, first + len(part))} | columns)
            names = ", ".join(list(columns)[1:])
            con.execute(f"INSERT INTO hashes SELECT lpad(place::VARCHAR, 64, '0'), 'hash', h0, [{names}] FROM part")
        con.execute(
            """INSERT INTO sightings (url, person, sha256, state)
            SELECT sha256, 'person ' || (sha256::BIGINT % ?), sha256, 'stored' FROM hashes""",
            [people],
        )


def _find(path: Path, find: Callable[[Catalog, str], int]) -> tuple[float, float, int]:
    began = time.perf_counter()
    pairs = find(Catalog(path), "hash")
    seconds = time.perf_counter() - began
    return seconds, peak_memory(), pairs


def _compare_all(hashes: np.ndarray) -> float:
    """Seconds to compare each photo with all hashes of every other, extrapolated from QUERIES photos."""
    began = time.perf_counter()
    for _ in near_duplicates.compare_all(hashes[:QUERIES, 0], hashes.reshape(-1)):
        pass
    return (time.perf_counter() - began) * max(1, len(hashes) / QUERIES)

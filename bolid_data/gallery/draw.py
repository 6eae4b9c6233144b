"""Draws a gallery into a folder, once: people, their photos, nuisances, and the truth about each file."""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path

import imagehash
import numpy as np
import platformdirs
from PIL import Image

from bolid_data import synthetic, weights
from bolid_data.atomic_io import sync_tree
from bolid_data.errors import BolidError, UsageError
from bolid_data.gallery.cast import Member, draw_cast
from bolid_data.gallery.nuisance import DRAWN, REASONS, Nuisance, derive, distribute, encode, may, size_of
from bolid_data.gallery.overlay import overlay
from bolid_data.process_pool import drawing_pool
from bolid_data.progress import bar
from bolid_data.synthetic.photo import Photo, Shot, take_photo
from bolid_data.synthetic.place import PLACES

_MIN_DISTANCE = 10  # bits of perceptual hash between any two pictures of one person
_ATTEMPTS = 40
_QUALITY = (85, 93)


@dataclass(frozen=True)
class Truth:
    """A line of truth.jsonl: a file and what should be detected in it."""

    file: str
    person: str
    kind: str
    framing: str | None = None
    strength: str | None = None
    width: int | None = None
    height: int | None = None
    yaw: float | None = None  # degrees: 0 faces the camera, 90 the picture's right
    box: list[float] | None = None  # x0, y0, x1, y1 of what is visible of the person, pixels
    keypoints: list[list[float]] | None = None  # 17 × (x, y, visible), COCO's order, pixels
    joints: list[list[float]] | None = None  # 17 × (x, y, z) in metres: right, down, away from the camera
    measures: dict[str, float] | None = None  # metres, kilograms, kg/m²
    caption: str | None = None
    caption_with_build: str | None = None
    caption_facts: dict[str, str] | None = None
    reason: str | None = None
    may: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    """A picture to draw, in a worker process, and the files that it fills."""

    people: tuple[Member, ...]  # the main one first
    shot: Shot
    size: tuple[int, int]  # width, height
    seed: tuple[int, ...]
    nuisance: Nuisance
    truths: tuple[Truth, ...]  # one per file; several files hold the same bytes


def draw_gallery(people: int = 8, photos: int = 24, seed: int = 0, cache: Path | None = None) -> Path:
    """Draws a gallery of `people`, with `photos` clean photos of each and nuisances besides, unless it is in the cache.

    Returns its folder: `truth.jsonl`, a line per file, and `files/archive/<slug>/img/<file>.jpg`. The same arguments
    give the same bytes, whatever the number of processes. The cache is the user's unless `cache` names a folder.
    Raises UsageError for counts below one.
    """
    if people < 1 or photos < 1 or seed < 0:
        raise UsageError(f"a gallery needs people, photos ≥ 1 and seed ≥ 0; got {people}, {photos}, {seed}")
    root = cache if cache is not None else Path(platformdirs.user_cache_dir("bolid")) / "gallery"
    folder = root / f"{people}x{photos}-{seed}-{_code_hash()}"
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=root) as scratch:
        part = Path(scratch) / "gallery"
        truths = _fill(part, people, photos, seed)
        lines = "".join(json.dumps(asdict(truth)) + "\n" for truth in sorted(truths, key=lambda t: t.file))
        (part / "truth.jsonl").write_text(lines, encoding="utf-8")
        sync_tree(part)
        try:
            part.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def _code_hash() -> str:
    """A hash of the drawing code, so that a cached gallery is never that of older code."""
    folders = (Path(__file__).parent, Path(synthetic.__file__).parent)
    code = [path for folder in folders for path in sorted(folder.glob("*.py")) if path.stem != "site"]
    body = weights.find("synthetic-body").sha256
    return hashlib.sha256(b"".join(path.read_bytes() for path in code) + body.encode()).hexdigest()[:12]


def _fill(root: Path, people: int, photos: int, seed: int) -> list[Truth]:
    cast = draw_cast(people, seed)
    names = {member.slug: _file_names(member.slug, seed) for member in cast}
    nuisances = distribute(people, photos, seed)
    tasks = [task for index in range(people) for task in _tasks(cast, index, photos, nuisances[index], seed, names)]
    for member in cast:
        (root / "files/archive" / member.slug / "img").mkdir(parents=True)
    truths = _draw(root / "files", tasks)
    for index, member in enumerate(cast):
        clean = [truth for truth in truths if truth.person == member.slug and truth.kind == "clean"]
        derived = [nuisance.kind for nuisance in nuisances[index] if nuisance.kind not in DRAWN]
        rng = np.random.default_rng((seed, index, 1))
        shuffled = [clean[i] for i in rng.permutation(len(clean))]
        order = [truth for truth in shuffled if not truth.may] or shuffled  # a copy of what may be out tells nothing
        for kind, original in zip(derived, cycle(order), strict=False):
            truths.append(_derive(root / "files", kind, original, next(names[member.slug]), rng))
    return truths


def _tasks(
    cast: list[Member], index: int, photos: int, nuisances: list[Nuisance], seed: int, names: dict[str, Iterator[str]]
) -> Iterator[_Task]:
    """The pictures to draw for one person: the clean photos, then the nuisances with a picture of their own."""
    member = cast[index]
    clean = [Nuisance("clean", None)] * photos
    for number, nuisance in enumerate([*clean, *(n for n in nuisances if n.kind in DRAWN)]):
        rng = np.random.default_rng((seed, index, 2, number))
        size = size_of(rng, nuisance.kind)
        people, shot = _subject(rng, member, nuisance.kind)
        owners = [member.slug]
        if nuisance.kind == "two_names":
            owners.append(str(rng.choice([other.slug for other in cast if other is not member])))
        truth = Truth("", "", nuisance.kind, None, nuisance.strength, *size, reason=REASONS.get(nuisance.kind))
        truths = tuple(replace(truth, file=next(names[slug]), person=slug) for slug in owners)
        yield _Task(people, shot, size, (seed, index, 3, number, 0), nuisance, truths)


def _subject(rng: np.random.Generator, member: Member, kind: str) -> tuple[tuple[Member, ...], Shot]:
    """Who is on a picture of this kind, and what is decided about it before it is drawn."""
    if kind == "nobody":
        return (), Shot(place=str(rng.choice([name for name in PLACES if name != "studio"])))  # an empty one is grey
    look = member.wardrobe[int(rng.integers(len(member.wardrobe)))]
    strangers = {"two_people": 1, "three_people": 2}.get(kind, 0)
    if strangers:
        first = int(rng.integers(2**31))
        company = tuple(Member("", first, number) for number in rng.permutation(4)[:strangers].tolist())
        return (member, *company), Shot(look=look, framing=str(rng.choice(["full", "knees_up"])))
    return (member,), Shot(look=look)


def _file_names(slug: str, seed: int) -> Iterator[str]:
    """Yields names for a person's files, endlessly: distinct random numbers."""
    rng = np.random.default_rng((seed, *slug.encode()))
    used: set[int] = set()
    while True:
        number = int(rng.integers(10**5, 10**6))
        if number not in used:
            used.add(number)
            yield f"archive/{slug}/img/{slug}_{number}.jpg"


def _draw(files: Path, tasks: list[_Task]) -> list[Truth]:
    """Draws every task's picture; one that resembles an earlier one of the same person is drawn again."""
    truths: list[list[Truth]] = [[] for _ in tasks]
    hashes: list[int] = [0] * len(tasks)
    workers = max(1, min(os.cpu_count() or 1, len(tasks) // 4))
    with drawing_pool(workers) as pool, bar() as progress:
        line = progress.add_task("drawing the gallery", total=len(tasks))
        pending = list(range(len(tasks)))
        for attempt in range(_ATTEMPTS):
            running = {
                pool.submit(_work, files, replace(tasks[i], seed=(*tasks[i].seed[:-1], attempt))): i for i in pending
            }
            for future in as_completed(running):
                truths[running[future]], hashes[running[future]] = future.result()
                progress.advance(line)
            pending = _too_similar(tasks, hashes)
            if not pending:
                return [truth for group in truths for truth in group]
            progress.update(line, total=(progress.tasks[0].total or 0) + len(pending))
    raise BolidError(f"could not draw {len(tasks)} pictures that differ enough; ask for fewer photos per person")


def _too_similar(tasks: list[_Task], hashes: list[int]) -> list[int]:
    """Tasks whose picture is within `_MIN_DISTANCE` bits of an earlier one of the same person."""
    similar = []
    earlier: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        for truth in task.truths:
            others = earlier.setdefault(truth.person, [])
            if any((hashes[index] ^ other).bit_count() < _MIN_DISTANCE for other in others) and index not in similar:
                similar.append(index)
            others.append(hashes[index])
    return similar


def _work(files: Path, task: _Task) -> tuple[list[Truth], int]:
    """Draws one picture and writes its files. Returns their truths and the picture's hash."""
    taken = take_photo([member.person for member in task.people], task.seed, task.size, task.shot)
    rng = np.random.default_rng((*task.seed, 1))
    image, nuisance = Image.fromarray(taken.image), task.nuisance
    if nuisance.strength:
        image = overlay(image, nuisance.kind, nuisance.strength, rng)
    data = encode(image, int(rng.integers(*_QUALITY)))
    for truth in task.truths:
        (files / truth.file).write_bytes(data)
    phash = int(str(imagehash.phash(Image.open(io.BytesIO(data)))), 16)
    return [_told(truth, taken) for truth in task.truths], phash


def _told(truth: Truth, taken: Photo) -> Truth:
    """The truth about a file, with what is known of its photo's main person."""
    if not taken.truth.people:
        return replace(truth, may=may(truth.kind))
    main, figure = taken.truth.people[0], taken.figures[0]
    words = main.description
    visible = int(main.keypoints[:, 2].sum())
    return replace(
        truth,
        framing=taken.truth.framing,
        yaw=round(main.yaw, 1),
        box=main.box and [round(value, 1) for value in main.box],
        keypoints=[[round(float(x), 1), round(float(y), 1), int(seen)] for x, y, seen in main.keypoints],
        joints=np.round(main.joints, 4).tolist(),
        measures={name: round(value, 4) for name, value in main.measures.items()},
        caption=words.sentence(build=False),
        caption_with_build=words.sentence(build=True),
        caption_facts={
            "top": words.top,
            "garment": words.garment,
            "sleeves": words.sleeves,
            "bottom": words.bottom,
            "legs": words.legs,
            "hair": words.hair,
            "stance": words.stance,
            "arms": figure.stand.pose.arms,
            "facing": words.facing,
            "background": taken.truth.place,
        },
        may=may(truth.kind, visible),
    )


def _derive(files: Path, kind: str, original: Truth, file: str, rng: np.random.Generator) -> Truth:
    data = derive(kind, (files / original.file).read_bytes(), rng)
    (files / file).write_bytes(data)
    if kind in ("truncated", "html"):
        size = (original.width, original.height) if kind == "truncated" else (None, None)
        return Truth(file, original.person, kind, None, None, *size, reason=REASONS[kind])
    truth = replace(original, file=file, kind=kind, reason=REASONS.get(kind))
    width, height = Image.open(io.BytesIO(data)).size
    share = width / (original.width or width)
    points = original.keypoints and [
        [round(x * share, 1), round(y * share, 1), visible] for x, y, visible in original.keypoints
    ]
    box = original.box and [round(value * share, 1) for value in original.box]
    return replace(truth, width=width, height=height, keypoints=points, box=box)

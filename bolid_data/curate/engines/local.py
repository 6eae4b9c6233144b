"""Runs measurers over photos on this machine: each photo is decoded once, for all of them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from PIL import Image

from bolid_data.catalog import Catalog
from bolid_data.colour import WHITE
from bolid_data.curate.measurers.measurer import Measurer, Photo
from bolid_data.curate.runtime import one_thread, threads
from bolid_data.images import PIXELS_VERSION, BrokenPhotoError, read_upright
from bolid_data.lost_photos import record_lost
from bolid_data.progress import bar
from bolid_data.records import Measurements
from bolid_data.store import LostPhotoError, Store, read_photo

CHUNK = 16
"""Photos measured and committed together: what a kill can cost, and of how many decoded photos memory holds two."""

MOST_PIXELS = 100_000_000
"""Pixels of a chunk's photos together, unless one alone has more: decoded, they take 300 MB."""

FindOut = Callable[[Sequence[str]], set[str]]
"""Of these photos (sha256), those that the cheap measurers' measurements put out already."""


@dataclass(frozen=True)
class Job:
    """What is to be measured: photos (sha256, sorted) and, by model, those that it has not yet seen.

    Photos that are out by what `cheap` measurers see never meet the `costly` ones, unless `find_out` is None.
    """

    cheap: Sequence[Measurer]
    costly: Sequence[Measurer]
    find_out: FindOut | None
    photos: list[str]
    unseen: dict[str, set[str]]
    background: str = WHITE  # what transparent pixels are laid on
    pixels: Mapping[str, int] = field(default_factory=dict)  # of each photo, as far as they are many

    @property
    def first(self) -> list[Measurer]:
        """Those that a photo meets before it is asked whether it is out."""
        return [*self.cheap, *(() if self.find_out else self.costly)]

    def stay(self, sha256s: Sequence[str]) -> list[str]:
        """Those that measurers are still to see, after the first ones."""
        if not self.find_out:
            return []
        unseen = [self.unseen[measurer.model.id] for measurer in self.costly]
        left = [sha256 for sha256 in sha256s if any(sha256 in own for own in unseen)]
        out = self.find_out(left) if left else set()
        return [sha256 for sha256 in left if sha256 not in out]


@dataclass
class Seen:
    """What was seen on photos, or why they cannot be decoded, and the time that each measurer took. `lost` are those
    whose bytes are lost, with what is wrong."""

    measurements: list[Measurements] = field(default_factory=list)
    undecodable: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    nanoseconds: Counter[str] = field(default_factory=Counter)
    photos: list[Photo] = field(default_factory=list)

    def and_also(self, other: "Seen") -> "Seen":
        return Seen(
            _by_model([*self.measurements, *other.measurements]),
            self.undecodable | other.undecodable,
            self.lost | other.lost,
            self.nanoseconds + other.nanoseconds,
            self.photos + other.photos,
        )


@dataclass
class Run:
    """How many photos were decoded, and the time that threads spent: on `decode`, each model by name, `catalog`."""

    photos: int = 0
    lost: int = 0
    nanoseconds: Counter[str] = field(default_factory=Counter)

    def commit(self, catalog: Catalog, store: Store, seen: Seen, job: "Job") -> None:
        began = time.perf_counter_ns()
        catalog.measurements.record_measurements(seen.measurements, seen.undecodable, (PIXELS_VERSION, job.background))
        record_lost(catalog, store, seen.lost)
        self.lost += len(seen.lost)
        self.nanoseconds += seen.nanoseconds + Counter(catalog=time.perf_counter_ns() - began)


def plan(
    catalog: Catalog,
    cheap: Sequence[Measurer],
    costly: Sequence[Measurer],
    skip_small: tuple[int, int],
    find_out: FindOut | None,
    background: str = WHITE,
) -> Job:
    """What measurers have not yet seen. Photos below `skip_small` (width, height) pixels are left alone."""
    unseen = {m.model.id: set(catalog.measurements.unmeasured(m.model.id, skip_small)) for m in (*cheap, *costly)}
    job = Job(cheap, costly, find_out, [], unseen, background, catalog.measurements.large_photos(MOST_PIXELS // CHUNK))
    begin = set().union(*(unseen[measurer.model.id] for measurer in job.first))
    rest = job.stay(sorted(set().union(*unseen.values()) - begin))
    return replace(job, photos=sorted(begin.union(rest)))


def decode(files: Sequence[tuple[str, Path]], background: str = WHITE) -> Seen:
    """Photos (sha256, file), decoded."""
    seen = Seen()
    began = time.perf_counter_ns()
    for sha256, file in files:
        try:
            seen.photos.append(Photo(sha256, read_upright(read_photo(file, sha256), background)))
        except LostPhotoError as error:
            seen.lost[sha256] = error.problem
        except BrokenPhotoError as error:
            seen.undecodable[sha256] = str(error)
    seen.nanoseconds["decode"] = time.perf_counter_ns() - began
    return seen


def see(photos: Sequence[Photo], measurers: Sequence[Measurer], unseen: Mapping[str, set[str]]) -> Seen:
    """What measurers see on the photos that each of them has not yet seen (sha256 by model)."""
    seen = Seen()
    for measurer in measurers:
        if own := [photo for photo in photos if photo.sha256 in unseen[measurer.model.id]]:
            began = time.perf_counter_ns()
            rows = measurer.measure(own)
            seen.nanoseconds[measurer.model.name] = time.perf_counter_ns() - began
            seen.measurements.append(Measurements(measurer.model, [photo.sha256 for photo in own], rows))
    return seen


def measure(catalog: Catalog, store: Store, job: Job, together: int = 1) -> Run:
    """Measures and commits chunk by chunk. A thread takes `together` photos through the measurers: one on a CPU, as
    many as a GPU likes to see."""
    run = Run()
    # Memory of decoded photos is kept for the next: to get it from the system anew takes as long as decoding.
    Image.core.set_blocks_max(2 * CHUNK)
    with bar() as progress, ThreadPoolExecutor(threads(), initializer=one_thread) as pool:
        task = progress.add_task("filter", total=len(job.photos))
        for seen, photos in _chunks(store, job, together, pool):
            run.commit(catalog, store, seen, job)
            run.photos += photos
            progress.advance(task, photos)
    return run


def _chunks(store: Store, job: Job, together: int, pool: ThreadPoolExecutor) -> Iterator[tuple[Seen, int]]:
    """What is to be committed, and of how many more photos. While a chunk is committed and it is found out which of
    its photos are out, the threads work on the next."""
    chunks = list(cut(job))

    def start(work: Callable[..., Seen], items: Sequence[Any]) -> list[Future[Seen]]:
        parts = (items[start : start + together] for start in range(0, len(items), together))
        return [pool.submit(work, part, store, job) for part in parts]

    beginning, ending = start(_begin, next(iter(chunks), [])), start(_end, [])
    for number, chunk in enumerate(chunks, start=1):
        seen = _join(beginning + ending)
        beginning = start(_begin, chunks[number] if number < len(chunks) else [])
        yield seen, len(chunk)
        stay = set(job.stay([photo.sha256 for photo in seen.photos]))
        ending = start(_end, [photo for photo in seen.photos if photo.sha256 in stay])
    yield _join(ending), 0


def cut(job: Job) -> Iterator[list[str]]:
    """The photos in chunks: of CHUNK, or of fewer where they are so large that memory would notice."""
    chunk: list[str] = []
    held = 0
    for sha256 in job.photos:
        pixels = job.pixels.get(sha256, 0)
        if chunk and (len(chunk) == CHUNK or held + pixels > MOST_PIXELS):
            yield chunk
            chunk, held = [], 0
        chunk.append(sha256)
        held += pixels
    if chunk:
        yield chunk


def _begin(sha256s: Sequence[str], store: Store, job: Job) -> Seen:
    decoded = decode([(sha256, store.place(sha256)) for sha256 in sha256s], job.background)
    seen = decoded.and_also(see(decoded.photos, job.first, job.unseen))
    if not job.find_out:
        seen.photos.clear()
    return seen


def _end(photos: Sequence[Photo], store: Store, job: Job) -> Seen:
    return see(photos, job.costly, job.unseen)


def _join(futures: Sequence[Future[Seen]]) -> Seen:
    return reduce(Seen.and_also, (future.result() for future in futures), Seen())


def _by_model(measurements: Sequence[Measurements]) -> list[Measurements]:
    whole: dict[str, Measurements] = {}
    for part in measurements:
        own = whole.setdefault(part.model.id, Measurements(part.model, []))
        own.sha256s.extend(part.sha256s)
        for table, rows in part.rows.items():
            own.rows.setdefault(table, []).extend(rows)
    return list(whole.values())

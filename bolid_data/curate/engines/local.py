"""Runs measurers over photos on this machine; each photo is decoded once for all of them."""

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
"""Photos measured and committed together, unless many threads need more. A kill loses at most one chunk; memory holds
the photos of two."""

MAX_CHUNK_PIXELS = 100_000_000
"""Limit on the pixels of a chunk of CHUNK photos (300 MB when decoded); a larger photo makes a chunk of its own."""

Screen = Callable[[Sequence[str]], set[str]]
"""Called with the sha256s of photos after the first stage; returns those that skip the second stage."""


@dataclass(frozen=True)
class Job:
    """What to measure: the sha256s of photos, sorted, and for each model those that it has not measured.

    Photos that `screen` returns after `first_stage` skip `second_stage`; without `screen`, no photo does.
    """

    first_stage: Sequence[Measurer]
    second_stage: Sequence[Measurer]
    screen: Screen | None
    photos: list[str]
    unmeasured: dict[str, set[str]]
    background: str = WHITE  # what transparent pixels are composited onto
    pixels: Mapping[str, int] = field(default_factory=dict)  # of the large photos only

    @property
    def unscreened(self) -> list[Measurer]:
        """The measurers that every photo gets, whether it is out or not."""
        return [*self.first_stage, *(() if self.screen else self.second_stage)]

    def remaining(self, sha256s: Sequence[str]) -> list[str]:
        """The photos that the second stage still has to measure."""
        if not self.screen:
            return []
        unmeasured = [self.unmeasured[measurer.model.id] for measurer in self.second_stage]
        candidates = [sha256 for sha256 in sha256s if any(sha256 in photos for photos in unmeasured)]
        out = self.screen(candidates) if candidates else set()
        return [sha256 for sha256 in candidates if sha256 not in out]


@dataclass
class BatchResult:
    """Measurements of some photos, why others cannot be decoded, what is wrong with those whose bytes are lost, and the
    time that each measurer took."""

    measurements: list[Measurements] = field(default_factory=list)
    undecodable: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    nanoseconds: Counter[str] = field(default_factory=Counter)
    photos: list[Photo] = field(default_factory=list)

    def merge(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(
            _by_model([*self.measurements, *other.measurements]),
            self.undecodable | other.undecodable,
            self.lost | other.lost,
            self.nanoseconds + other.nanoseconds,
            self.photos + other.photos,
        )


@dataclass
class MeasurementRun:
    """How many photos were decoded or lost, and the threads' time on `decode`, on each model by name, on `catalog`."""

    photos: int = 0
    lost: int = 0
    nanoseconds: Counter[str] = field(default_factory=Counter)

    def commit(self, catalog: Catalog, store: Store, result: BatchResult, job: "Job") -> None:
        began = time.perf_counter_ns()
        catalog.measurements.record_measurements(
            result.measurements, result.undecodable, (PIXELS_VERSION, job.background)
        )
        record_lost(catalog, store, result.lost)
        self.lost += len(result.lost)
        self.nanoseconds += result.nanoseconds + Counter(catalog=time.perf_counter_ns() - began)


def plan(
    catalog: Catalog,
    first_stage: Sequence[Measurer],
    second_stage: Sequence[Measurer],
    skip_small: tuple[int, int],
    screen: Screen | None,
    background: str = WHITE,
    targets: Mapping[str, set[str]] | None = None,
) -> Job:
    """A job for the photos that a measurer has not measured, except those below `skip_small` (width, height) pixels.
    `targets` are the photos of models that measure only some."""
    models = [measurer.model.id for measurer in (*first_stage, *second_stage)]
    unmeasured = {model: set(catalog.measurements.unmeasured(model, skip_small)) for model in models}
    for model, sha256s in (targets or {}).items():
        unmeasured[model] &= sha256s
    large = catalog.measurements.large_photos(MAX_CHUNK_PIXELS // CHUNK)
    job = Job(first_stage, second_stage, screen, [], unmeasured, background, large)
    unscreened = set().union(*(unmeasured[measurer.model.id] for measurer in job.unscreened))
    remaining = job.remaining(sorted(set().union(*unmeasured.values()) - unscreened))
    return replace(job, photos=sorted(unscreened.union(remaining)))


def decode(files: Sequence[tuple[str, Path]], background: str = WHITE) -> BatchResult:
    """Decodes photos (sha256, file)."""
    result = BatchResult()
    began = time.perf_counter_ns()
    for sha256, file in files:
        try:
            result.photos.append(Photo(sha256, read_upright(read_photo(file, sha256), background)))
        except LostPhotoError as error:
            result.lost[sha256] = error.problem
        except BrokenPhotoError as error:
            result.undecodable[sha256] = str(error)
    result.nanoseconds["decode"] = time.perf_counter_ns() - began
    return result


def measure_batch(
    photos: Sequence[Photo], measurers: Sequence[Measurer], unmeasured: Mapping[str, set[str]]
) -> BatchResult:
    """Runs each measurer on those of the photos that `unmeasured` (sha256s by model) lists for it."""
    result = BatchResult()
    for measurer in measurers:
        if batch := [photo for photo in photos if photo.sha256 in unmeasured[measurer.model.id]]:
            began = time.perf_counter_ns()
            rows = measurer.measure(batch)
            result.nanoseconds[measurer.model.name] = time.perf_counter_ns() - began
            result.measurements.append(Measurements(measurer.model, [photo.sha256 for photo in batch], rows))
    return result


def measure(catalog: Catalog, store: Store, job: Job, batch_size: int = 1) -> MeasurementRun:
    """Measures and commits chunk by chunk. Each thread measures `batch_size` photos at a time: one on a CPU, a batch
    on a GPU."""
    run = MeasurementRun()
    chunk = max(CHUNK, threads() * batch_size)  # enough for every thread
    # Memory of decoded photos is reused: allocating it anew takes as long as decoding.
    Image.core.set_blocks_max(2 * chunk)
    with bar() as progress, ThreadPoolExecutor(threads(), initializer=one_thread) as pool:
        task = progress.add_task("filter", total=len(job.photos))
        for result, photos in _chunks(store, job, chunk, batch_size, pool):
            run.commit(catalog, store, result, job)
            run.photos += photos
            progress.advance(task, photos)
    return run


def _chunks(
    store: Store, job: Job, size: int, batch_size: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[BatchResult, int]]:
    """Yields results to commit, each with the number of photos that are new in it. While a chunk is committed and
    screened, the threads work on the next."""
    chunks = list(cut(job, size))

    def start(work: Callable[..., BatchResult], items: Sequence[Any]) -> list[Future[BatchResult]]:
        parts = (items[start : start + batch_size] for start in range(0, len(items), batch_size))
        return [pool.submit(work, part, store, job) for part in parts]

    first, second = start(_run_unscreened, next(iter(chunks), [])), start(_run_second_stage, [])
    for number, chunk in enumerate(chunks, start=1):
        result = _join(first + second)
        first = start(_run_unscreened, chunks[number] if number < len(chunks) else [])
        yield result, len(chunk)
        remaining = set(job.remaining([photo.sha256 for photo in result.photos]))
        second = start(_run_second_stage, [photo for photo in result.photos if photo.sha256 in remaining])
    yield _join(second), 0


def cut(job: Job, size: int = CHUNK) -> Iterator[list[str]]:
    """Splits the photos into chunks of `size`, or of fewer where they are large."""
    chunk: list[str] = []
    chunk_pixels, max_pixels = 0, MAX_CHUNK_PIXELS * size // CHUNK
    for sha256 in job.photos:
        pixels = job.pixels.get(sha256, 0)
        if chunk and (len(chunk) == size or chunk_pixels + pixels > max_pixels):
            yield chunk
            chunk, chunk_pixels = [], 0
        chunk.append(sha256)
        chunk_pixels += pixels
    if chunk:
        yield chunk


def _run_unscreened(sha256s: Sequence[str], store: Store, job: Job) -> BatchResult:
    decoded = decode([(sha256, store.locate(sha256)) for sha256 in sha256s], job.background)
    result = decoded.merge(measure_batch(decoded.photos, job.unscreened, job.unmeasured))
    if not job.screen:
        result.photos.clear()
    return result


def _run_second_stage(photos: Sequence[Photo], store: Store, job: Job) -> BatchResult:
    return measure_batch(photos, job.second_stage, job.unmeasured)


def _join(futures: Sequence[Future[BatchResult]]) -> BatchResult:
    return reduce(BatchResult.merge, (future.result() for future in futures), BatchResult())


def _by_model(measurements: Sequence[Measurements]) -> list[Measurements]:
    by_model: dict[str, Measurements] = {}
    for part in measurements:
        merged = by_model.setdefault(part.model.id, Measurements(part.model, []))
        merged.sha256s.extend(part.sha256s)
        for table, rows in part.rows.items():
            merged.rows.setdefault(table, []).extend(rows)
    return list(by_model.values())

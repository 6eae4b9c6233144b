"""Runs measurers over photos on this machine: each photo is decoded once, for all of them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from bolid_data.catalog import Catalog
from bolid_data.curate.measure import Measurer, Photo
from bolid_data.images import BrokenPhotoError, read_upright
from bolid_data.progress import bar
from bolid_data.records import Measurements
from bolid_data.store import Store

CHUNK = 32
"""Photos decoded, measured and committed together: what a kill can cost, and what memory holds twice."""


def measure(catalog: Catalog, store: Store, measurers: Sequence[Measurer], skip_small: tuple[int, int]) -> int:
    """Measures what each measurer has not yet seen and commits it chunk by chunk. Returns the photos decoded.

    Photos below `skip_small` (width, height) pixels are out by their header alone and are left alone.
    """
    unseen = [set(catalog.unmeasured(measurer.model.id, skip_small)) for measurer in measurers]
    todo = sorted(set().union(*unseen))
    with bar() as progress, ThreadPoolExecutor() as pool:
        task = progress.add_task("filter", total=len(todo))
        for photos, undecodable in _decoded(store, todo, pool):
            batches = [_see(m, photos, own) for m, own in zip(measurers, unseen, strict=True)]
            catalog.record_measurements([batch for batch in batches if batch.sha256s], undecodable)
            progress.advance(task, len(photos) + len(undecodable))
    return len(todo)


def _see(measurer: Measurer, photos: list[Photo], unseen: set[str]) -> Measurements:
    own = [photo for photo in photos if photo.sha256 in unseen]
    return Measurements(measurer.model, [photo.sha256 for photo in own], measurer.measure(own) if own else {})


def _decoded(
    store: Store, sha256s: list[str], pool: ThreadPoolExecutor
) -> Iterator[tuple[list[Photo], dict[str, str]]]:
    """Chunks of decoded photos and of those that cannot be, each decoded while the models see the one before."""

    def start(chunk: Sequence[str]) -> list[Future[Photo | tuple[str, str]]]:
        return [pool.submit(_decode, store, sha256) for sha256 in chunk]

    chunks = (sha256s[i : i + CHUNK] for i in range(0, len(sha256s), CHUNK))
    ahead = start(next(chunks, ()))
    while ahead:
        current, ahead = ahead, start(next(chunks, ()))
        results = [future.result() for future in current]
        photos = [photo for photo in results if isinstance(photo, Photo)]
        yield photos, dict(failure for failure in results if not isinstance(failure, Photo))


def _decode(store: Store, sha256: str) -> Photo | tuple[str, str]:
    try:
        return Photo(sha256, read_upright(store.find(sha256)))
    except BrokenPhotoError as error:
        return sha256, str(error)

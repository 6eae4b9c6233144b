"""A dataset's kept photos and samples in the order of its shards, prepared by threads ahead of the writer."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, TypeVar

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.images import BrokenPhotoError
from bolid_data.lost_photos import note_lost, record_lost
from bolid_data.shards.jpeg import Jpeg, to_jpeg
from bolid_data.shards.writer import EncodedSample, member
from bolid_data.store import LostPhotoError
from bolid_data.words import counted

T = TypeVar("T")
R = TypeVar("R")

_PEOPLE_PER_QUERY = 16
"""People whose rows are read at once, as opening the catalog takes longer than reading them."""
_THREADS = min(4, (os.cpu_count() or 1) + 1)


def samples(
    dataset: Dataset, people: Sequence[str], background: str, lost: dict[str, str], trigger: str | None = None
) -> Iterator[EncodedSample]:
    """Yields the kept photos of people, in this order, transparency composited onto `background`. Photos whose bytes
    are lost are left out and added to `lost`, with the problem. Raises BolidError if a photo cannot be decoded."""
    for sample in map_ahead(lambda row: _sample(dataset, row, background), kept_photos(dataset, people, trigger)):
        if isinstance(sample, LostPhotoError):
            lost[sample.sha256] = sample.problem
        else:
            yield sample


def kept_photos(dataset: Dataset, people: Sequence[str], trigger: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows of kept, captioned photos (`catalog.samples.kept_photos`), with this trigger word if it is not None."""
    groups = (people[start : start + _PEOPLE_PER_QUERY] for start in range(0, len(people), _PEOPLE_PER_QUERY))
    return chain.from_iterable(dataset.catalog.samples.kept_photos(group, trigger) for group in groups)


def photo_key(person: str, sha256: str) -> str:
    """The name of a photo in shards and exports."""
    return f"{person}-{sha256[:16]}"


def read_jpeg(dataset: Dataset, sha256: str, background: str, rotation: int = 0) -> Jpeg | LostPhotoError:
    """A photo as shards and exports have it, turned clockwise, or what its bytes lack. Raises BolidError if it cannot
    be decoded."""
    try:
        return to_jpeg(dataset.store.read(sha256), background, rotation)
    except LostPhotoError as error:
        return error
    except BrokenPhotoError as error:
        place = dataset.store.locate(sha256)
        raise BolidError(f"{place}: {error}; `bolid verify` lists what is damaged") from error


def note_lost_photos(dataset: Dataset, step: str, lost: dict[str, str], rest: str) -> None:
    """Records and names photos whose bytes are lost. Raises BolidError if there are any."""
    if lost:
        record_lost(dataset.catalog, dataset.store, lost)
        note_lost(step, lost)
        photos_lost = counted(len(lost), "kept photo lost its bytes", "kept photos lost their bytes")
        raise BolidError(f"{photos_lost}, named above; `bolid dataset` fetches again. {rest}")


def people_with_photos(dataset: Dataset) -> list[str]:
    """The people with kept photos, sorted. Raises BolidError if there are none, or captions are missing."""
    people = dataset.catalog.measurements.people_to_shard()
    if not people:
        raise BolidError("no photo is kept, so there is nothing to shard or export; see `bolid status` for the reasons")
    if missing := sum(uncaptioned for *_, uncaptioned in people):
        have = "has" if missing == 1 else "have"
        raise BolidError(f"{counted(missing, 'kept photo')} {have} no caption; run `bolid caption` first")
    return [person for person, *_ in people]


def _sample(dataset: Dataset, row: dict[str, Any], background: str) -> EncodedSample | LostPhotoError:
    rotation = row["rotation"]
    jpeg = read_jpeg(dataset, row["sha256"], background, rotation)
    if isinstance(jpeg, LostPhotoError):
        return jpeg
    points = row["keypoints"] and turn_points(
        row["keypoints"], rotation, jpeg.width, jpeg.height
    )  # None for a photo without a detected person that was kept by a decision
    record = {
        "person": row["person"],
        "sha256": row["sha256"],
        "width": jpeg.width,
        "height": jpeg.height,
        "keypoints": points and [[round(float(value), 4) for value in point] for point in points],
        "caption": row["caption"],
    }
    key = photo_key(row["person"], row["sha256"])
    text = json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
    contents = {"jpg": jpeg.data, "json": text, "txt": row["caption"].encode()}
    data = b"".join(chain.from_iterable(member(f"{key}.{name}", content) for name, content in contents.items()))
    measured = {"captions": row["captions"], "measures": row["measures"], "rotation": rotation}
    return EncodedSample(data, {"key": key, **record, "made": jpeg.made, **measured})


def turn_points(points: list[list[float]], rotation: int, width: int, height: int) -> list[list[float]]:
    """Keypoints (x, y, confidence) after their photo was turned clockwise, to `width` × `height` pixels."""
    match rotation:
        case 90:
            return [[width - y, x, confidence] for x, y, confidence in points]
        case 180:
            return [[width - x, height - y, confidence] for x, y, confidence in points]
        case 270:
            return [[y, height - x, confidence] for x, y, confidence in points]
    return points


def map_ahead(make: Callable[[T], R], items: Iterable[T], threads: int = _THREADS) -> Iterator[R]:
    """`map(make, items)` in threads that stay a few items ahead, so that memory is bounded."""
    remaining, waiting = iter(items), deque[Future[R]]()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                waiting.extend(pool.submit(make, item) for item in islice(remaining, 2 * threads - len(waiting)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

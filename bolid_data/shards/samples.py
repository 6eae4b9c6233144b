"""A dataset's samples in the order of its shards, prepared by threads ahead of the writer."""

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
from bolid_data.shards.jpeg import to_jpeg
from bolid_data.shards.writer import EncodedSample, member
from bolid_data.store import LostPhotoError

T = TypeVar("T")
R = TypeVar("R")

_PEOPLE_PER_QUERY = 16
"""People whose rows are read at once, as opening the catalog takes longer than reading them."""
_THREADS = min(4, (os.cpu_count() or 1) + 1)


def samples(dataset: Dataset, people: Sequence[str], background: str, lost: dict[str, str]) -> Iterator[EncodedSample]:
    """Yields the kept photos of people, in this order, transparency composited onto `background`. Photos whose bytes
    are lost are left out and added to `lost`, with the problem. Raises BolidError if a photo cannot be decoded."""
    groups = (people[start : start + _PEOPLE_PER_QUERY] for start in range(0, len(people), _PEOPLE_PER_QUERY))
    rows = chain.from_iterable(map(dataset.catalog.samples.kept_photos, groups))
    for sample in _map_ahead(lambda row: _sample(dataset, row, background), rows, _THREADS):
        if isinstance(sample, LostPhotoError):
            lost[sample.sha256] = sample.problem
        else:
            yield sample


def _sample(dataset: Dataset, row: dict[str, Any], background: str) -> EncodedSample | LostPhotoError:
    try:
        jpeg = to_jpeg(dataset.store.read(row["sha256"]), background)
    except LostPhotoError as error:
        return error
    except BrokenPhotoError as error:
        place = dataset.store.locate(row["sha256"])
        raise BolidError(f"{place}: {error}; `bolid verify` lists what is damaged") from error
    points = row["keypoints"]  # None for a photo without a detected person that was kept by a decision
    record = {
        "person": row["person"],
        "sha256": row["sha256"],
        "width": jpeg.width,
        "height": jpeg.height,
        "keypoints": points and [[round(float(value), 4) for value in point] for point in points],
        "caption": row["caption"],
    }
    key = f"{row['person']}-{row['sha256'][:16]}"
    text = json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
    contents = {"jpg": jpeg.data, "json": text, "txt": row["caption"].encode()}
    data = b"".join(chain.from_iterable(member(f"{key}.{name}", content) for name, content in contents.items()))
    measured = {"captions": row["captions"], "measures": row["measures"], "rotation": 0}
    return EncodedSample(data, {"key": key, **record, "made": jpeg.made, **measured})


def _map_ahead(make: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
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

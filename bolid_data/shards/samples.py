"""A dataset's samples in the order of its shards, read and made ahead of whoever writes them."""

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
from bolid_data.shards.writer import Sample, member
from bolid_data.store import LostPhotoError

T = TypeVar("T")
R = TypeVar("R")

_TOGETHER = 16
"""People whose rows are read at once: opening the catalog takes longer than reading them."""
_THREADS = min(4, (os.cpu_count() or 1) + 1)


def samples(dataset: Dataset, people: Sequence[str], background: str, lost: dict[str, str]) -> Iterator[Sample]:
    """The kept photos of people, in their order, what is transparent laid on `background`. Those that lost their bytes
    are left out and added to `lost`, with what is wrong. Raises BolidError for a photo that cannot be decoded."""
    groups = (people[start : start + _TOGETHER] for start in range(0, len(people), _TOGETHER))
    rows = chain.from_iterable(map(dataset.catalog.samples.kept_photos, groups))
    for sample in _ahead(lambda row: _sample(dataset, row, background), rows, _THREADS):
        if isinstance(sample, LostPhotoError):
            lost[sample.sha256] = sample.problem
        else:
            yield sample


def _sample(dataset: Dataset, row: dict[str, Any], background: str) -> Sample | LostPhotoError:
    try:
        jpeg = to_jpeg(dataset.store.read(row["sha256"]), background)
    except LostPhotoError as error:
        return error
    except BrokenPhotoError as error:
        place = dataset.store.locate(row["sha256"])
        raise BolidError(f"{place}: {error}; `bolid verify` lists what is damaged") from error
    points = row["keypoints"]  # none where a person decided to keep a photo on which no model saw anybody
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
    known = {"captions": row["captions"], "measures": row["measures"], "rotation": 0}
    return Sample(data, {"key": key, **record, "made": jpeg.made, **known})


def _ahead(make: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`map(make, items)` by threads that are a few items ahead, so that memory does not grow with their number."""
    source, waiting = iter(items), deque[Future[R]]()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                waiting.extend(pool.submit(make, item) for item in islice(source, 2 * threads - len(waiting)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

"""Finds near copies: pairs of a person's photos with similar perceptual hashes, by an index where photos are many."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from bolid_data.catalog import Catalog
from bolid_data.catalog.near_copies import Hashes, NearPairs, Uncompared
from bolid_data.curate.judge.rules import MAX_STORED_DISTANCE
from bolid_data.progress import bar

BATCH = 100_000
"""Photos whose hashes are read at a time, unless one person has more."""
BRUTE_FORCE_LIMIT = 2_000
"""Up to this many photos, comparing all pairs is faster than building an index."""

_QUERY_BATCH = 2_048  # photos
_COMMIT_BATCH = 200_000  # pairs; copies of copies can be very many


def find(catalog: Catalog, model_id: str) -> int:
    """Writes into `near` the pairs of a person's photos within MAX_STORED_DISTANCE bits by this model's hashes, for all
    people whose photos have changed since they were compared. If it is killed, the next call resumes with the people
    that are left.

    The distance between two photos is the smallest of the distance between their hashes and those between the hash of
    one and the view hashes of the other. Returns the number of new pairs.
    """
    new_pairs = 0
    with bar() as progress:
        uncompared = catalog.near_copies.uncompared(model_id)
        task = progress.add_task("compare", total=sum(person.photos for person in uncompared))
        for people in _batches(uncompared):
            pairs: list[NearPairs] = []
            for hashes in catalog.near_copies.hashes([person.person for person in people], model_id):
                for chunk in find_pairs(hashes):
                    pairs.append(chunk)
                    if sum(len(pending.a) for pending in pairs) > _COMMIT_BATCH:
                        new_pairs += catalog.near_copies.record_near(model_id, pairs)
                        pairs = []
            new_pairs += catalog.near_copies.record_near(model_id, pairs, people)
            progress.advance(task, sum(person.photos for person in people))
    return new_pairs


def find_between_people(catalog: Catalog, model_id: str) -> int:
    """The same among the photos of all people, if any have changed since they were last compared."""
    new_pairs = 0
    if all_people := catalog.near_copies.uncompared_between(model_id):
        for pairs in find_pairs(catalog.near_copies.all_hashes(model_id)):
            new_pairs += catalog.near_copies.record_near(model_id, [pairs])
        catalog.near_copies.record_near(model_id, [], [all_people])
    return new_pairs


def find_pairs(photos: Hashes) -> Iterator[NearPairs]:
    """Yields the pairs within MAX_STORED_DISTANCE bits, in chunks; a pair may appear again, at another distance."""
    count = len(photos.hashes)
    owners = np.concatenate([np.arange(count, dtype=np.int32), photos.photos])
    search = compare_all if count <= BRUTE_FORCE_LIMIT else _search_index
    for queries, matches, distance in search(photos.hashes, np.concatenate([photos.hashes, photos.views])):
        a, b = queries, owners[matches]
        low, high = np.minimum(a, b), np.maximum(a, b)
        order = np.lexsort((distance, high, low))  # the nearest match of a pair comes first
        low, high, distance = low[order], high[order], distance[order]
        nearest = (low != high) & np.append(True, (np.diff(low) != 0) | (np.diff(high) != 0))[: len(low)]
        low, high, distance = low[nearest], high[nearest], distance[nearest]
        if len(low):
            first, second = (photos.sha256s[places].astype(str).astype(object) for places in (low, high))
            yield NearPairs(first, second, distance.astype(np.uint8))


Matches = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Indices of queries, indices of the hashes that match, bits between them (at most MAX_STORED_DISTANCE): (k,) each."""


def compare_all(queries: np.ndarray, hashes: np.ndarray) -> Iterator[Matches]:
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(_bytes(hashes))
    for first in range(0, len(queries), _QUERY_BATCH):
        ends, distance, matches = index.range_search(
            _bytes(queries[first : first + _QUERY_BATCH]), MAX_STORED_DISTANCE + 1
        )  # the radius is exclusive
        yield first + np.searchsorted(ends, np.arange(len(matches)), side="right") - 1, matches, distance


def _bytes(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)


_BITS = 16  # of a band
_BANDS = ((0, 2), (16, 2), (32, 2), (48, 1))  # first bit of each, and how many of its bits may differ


def _search_index(queries: np.ndarray, hashes: np.ndarray) -> Iterator[Matches]:
    """Multi-index hashing: if two hashes differ in at most 10 bits, at least one of the four bands differs in at most
    2, 2, 2 or 1 bits; otherwise they would differ in 3 + 3 + 3 + 2. So each band is looked up with every choice of that
    many bits flipped (Norouzi et al., Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014; unequal
    shares: Qin et al., GPH, 2018). Written in NumPy because faiss's `IndexBinaryMultiHash` was slower than comparing
    all pairs at every size tried. Only one band's table is in memory at a time."""
    for first_bit, flips in _BANDS:
        table = _Table(hashes, first_bit, flips)
        for first in range(0, len(queries), _QUERY_BATCH):
            parts = list(table.search(queries[first : first + _QUERY_BATCH]))
            queried, matches, distance = (np.concatenate(column) for column in zip(*parts, strict=True))
            yield first + queried, matches, distance


class _Table:
    """Hashes sorted by one of their bands."""

    def __init__(self, hashes: np.ndarray, first: int, flips: int) -> None:
        self._first = np.uint64(first)
        keys = self._keys(hashes)
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        self._hashes = hashes[self._order]
        self._starts = np.append(0, np.cumsum(np.bincount(keys, minlength=1 << _BITS)))
        self._masks = [
            sum(1 << bit for bit in bits) for count in range(flips + 1) for bits in combinations(range(_BITS), count)
        ]

    def search(self, queries: np.ndarray) -> Iterator[Matches]:
        keys = self._keys(queries).astype(np.int64)
        for mask in self._masks:
            starts = self._starts[keys ^ mask]
            counts = self._starts[(keys ^ mask) + 1] - starts
            ends = np.cumsum(counts)
            position = np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)
            distance = np.bitwise_count(np.repeat(queries, counts) ^ self._hashes[position])
            within = np.flatnonzero(distance <= MAX_STORED_DISTANCE)
            yield np.searchsorted(ends, within, side="right"), self._order[position[within]], distance[within]

    def _keys(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> self._first & np.uint64((1 << _BITS) - 1)).astype(np.uint16)


def _batches(people: list[Uncompared]) -> Iterator[list[Uncompared]]:
    batch: list[Uncompared] = []
    for person in people:
        if batch and sum(other.photos for other in batch) + person.photos > BATCH:
            yield batch
            batch = []
        batch.append(person)
    if batch:
        yield batch

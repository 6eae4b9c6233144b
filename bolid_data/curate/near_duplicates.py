"""Pairs of one person's photos whose perceptual hashes are near, without comparing all pairs where photos are many."""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from bolid_data.catalog import Catalog
from bolid_data.catalog.near_copies import Hashes, Near, Uncompared
from bolid_data.curate.judge.rules import FAR
from bolid_data.progress import bar

BATCH = 100_000
"""Photos whose hashes are read at a time, unless one person has more."""
FEW = 2_000
"""Among up to so many photos comparing all pairs is the faster way."""

_LOOKED_UP = 2_048  # photos at a time
_COMMITTED = 200_000  # pairs at a time, as copies of copies can be very many


def find(catalog: Catalog, model_id: str) -> int:
    """Writes into `near` the pairs of one person's photos within FAR bits by this model's hashes, for all people whose
    photos have changed since they were compared. A killed run goes on with the people it had not done.

    The distance of two photos is the least of their hashes' and of one's hash to those of the other's views. Returns
    how many pairs were not known before.
    """
    known = 0
    with bar() as progress:
        todo = catalog.near_copies.uncompared(model_id)
        task = progress.add_task("compare", total=sum(person.photos for person in todo))
        for people in _batches(todo):
            pairs: list[Near] = []
            for hashes in catalog.near_copies.hashes([person.person for person in people], model_id):
                for near in find_pairs(hashes):
                    pairs.append(near)
                    if sum(len(some.a) for some in pairs) > _COMMITTED:
                        known += catalog.near_copies.record_near(model_id, pairs)
                        pairs = []
            known += catalog.near_copies.record_near(model_id, pairs, people)
            progress.advance(task, sum(person.photos for person in people))
    return known


def find_between(catalog: Catalog, model_id: str) -> int:
    """The same among the photos of all people, whenever there are others than were last compared."""
    known = 0
    if everybody := catalog.near_copies.uncompared_between(model_id):
        for near in find_pairs(catalog.near_copies.all_hashes(model_id)):
            known += catalog.near_copies.record_near(model_id, [near])
        catalog.near_copies.record_near(model_id, [], [everybody])
    return known


def find_pairs(photos: Hashes) -> Iterator[Near]:
    """The pairs within FAR bits among some photos, part by part: a pair may come twice, at different distances."""
    own = np.array([hashes[0] for hashes in photos.hashes], np.uint64)
    owners = np.repeat(np.arange(len(own)), [len(hashes) for hashes in photos.hashes])
    search = (compare_all if len(own) <= FEW else _index)(np.concatenate(photos.hashes))
    for first in range(0, len(own), _LOOKED_UP):
        queries, found, distance = search(own[first : first + _LOOKED_UP])
        a, b = first + queries, owners[found]
        low, high = np.minimum(a, b), np.maximum(a, b)
        order = np.lexsort((distance, high, low))  # of the finds of a pair the nearest comes first
        low, high, distance = low[order], high[order], distance[order]
        nearest = (low != high) & np.append(True, (np.diff(low) != 0) | (np.diff(high) != 0))[: len(low)]
        low, high, distance = low[nearest], high[nearest], distance[nearest]
        if len(low):
            yield Near(photos.sha256s[low], photos.sha256s[high], distance.astype(np.uint8))


Finds = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Places of hashes that were looked up, places of hashes found, bits between them (at most FAR): (k,) each."""


def compare_all(hashes: np.ndarray) -> Callable[[np.ndarray], Finds]:
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(_bytes(hashes))

    def search(queries: np.ndarray) -> Finds:
        ends, distance, found = index.range_search(_bytes(queries), FAR + 1)  # it finds what is nearer than that
        return np.searchsorted(ends, np.arange(len(found)), side="right") - 1, found, distance

    return search


def _bytes(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)


_BITS = 16  # of a band
_BANDS = ((0, 2), (16, 2), (32, 2), (48, 1))  # first bit of each, and how many of its bits may differ


def _index(hashes: np.ndarray) -> Callable[[np.ndarray], Finds]:
    """Multi-index hashing: of two hashes at most 10 bits apart, one of the four bands is at most 2, 2, 2 or 1 apart,
    as otherwise they were 3 + 3 + 3 + 2 apart. So each band is looked up with every choice of so few bits flipped
    (Norouzi et al., Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014; unequal shares: Qin et al.,
    GPH, 2018). In NumPy, as faiss' own (`IndexBinaryMultiHash`) took longer than comparing all at every size tried."""
    tables = [_Table(hashes, first, flips) for first, flips in _BANDS]

    def search(queries: np.ndarray) -> Finds:
        queried, found, distance = zip(*(find for table in tables for find in table.search(queries)), strict=True)
        return np.concatenate(queried), np.concatenate(found), np.concatenate(distance)

    return search


class _Table:
    """Hashes in the order of one of their bands."""

    def __init__(self, hashes: np.ndarray, first: int, flips: int) -> None:
        self._first = np.uint64(first)
        keys = self._keys(hashes)
        self._places = np.argsort(keys, kind="stable")
        self._hashes = hashes[self._places]
        self._begins = np.append(0, np.cumsum(np.bincount(keys, minlength=1 << _BITS)))
        self._masks = [
            sum(1 << bit for bit in bits) for count in range(flips + 1) for bits in combinations(range(_BITS), count)
        ]

    def search(self, queries: np.ndarray) -> Iterator[Finds]:
        keys = self._keys(queries)
        for mask in self._masks:
            begins = self._begins[keys ^ mask]
            counts = self._begins[(keys ^ mask) + 1] - begins
            ends = np.cumsum(counts)
            place = np.arange(ends[-1]) + np.repeat(begins - ends + counts, counts)
            distance = np.bitwise_count(np.repeat(queries, counts) ^ self._hashes[place])
            near = np.flatnonzero(distance <= FAR)
            yield np.searchsorted(ends, near, side="right"), self._places[place[near]], distance[near]

    def _keys(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> self._first & np.uint64((1 << _BITS) - 1)).astype(np.int64)


def _batches(people: list[Uncompared]) -> Iterator[list[Uncompared]]:
    batch: list[Uncompared] = []
    for person in people:
        if batch and sum(other.photos for other in batch) + person.photos > BATCH:
            yield batch
            batch = []
        batch.append(person)
    if batch:
        yield batch

"""Near copies among a person's photos: the same as by comparing all pairs, computed once, and only for new photos."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bolid_data.catalog.near_copies import Hashes, NearPairs
from bolid_data.curate import judge, near_duplicates
from bolid_data.curate.judge import MAX_STORED_DISTANCE
from tests.support.measured_dataset import HASH, LENIENT, World

Pair = tuple[str, str]


def photos(hashes: np.ndarray) -> Hashes:
    """Photos "000000", "000001", … with these hashes (n, 1 + views)."""
    owners = np.repeat(np.arange(len(hashes), dtype=np.int32), hashes.shape[1] - 1)
    return Hashes(np.array([f"{i:06}" for i in range(len(hashes))], "S64"), hashes[:, 0], hashes[:, 1:].ravel(), owners)


def near_pairs(hashes: np.ndarray) -> dict[Pair, int]:
    distances: dict[Pair, int] = {}
    for pairs in near_duplicates.find_pairs(photos(hashes)):
        for a, b, distance in zip(pairs.a, pairs.b, pairs.distance.tolist(), strict=True):
            distances[a, b] = min(distance, distances.get((a, b), 99))
    return distances


def all_pairs(hashes: np.ndarray) -> dict[Pair, int]:
    """The same by comparing all."""
    distance = np.bitwise_count(hashes[:, :1, None] ^ hashes[None]).min(axis=2).astype(int)
    distance = np.minimum(distance, distance.T)
    low, high = np.nonzero(np.triu(distance <= MAX_STORED_DISTANCE, 1))
    return {(f"{a:06}", f"{b:06}"): int(distance[a, b]) for a, b in zip(low, high, strict=True)}


def clustered(rng: np.random.Generator, count: int, views: int, centres: int, flips: float) -> np.ndarray:
    """Hashes around a few centres, each bit flipped with this chance: many pairs just within reach and just beyond."""
    bits = rng.integers(0, 2, (centres, 1, 64))[rng.integers(0, centres, count)]
    bits = bits ^ (rng.random((count, views, 64)) < flips)
    return (bits.astype(np.uint64) << np.arange(64, dtype=np.uint64)).sum(2, dtype=np.uint64)


@pytest.mark.parametrize("limit", [0, near_duplicates.BRUTE_FORCE_LIMIT], ids=["index", "brute force"])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32), count=st.integers(1, 60), views=st.integers(1, 4), centres=st.integers(1, 5),
    flips=st.sampled_from([0.0, 0.02, 0.05, 0.09, 0.5]),
)  # fmt: skip
def test_no_pair_is_missed_and_none_made_up(
    limit: int, seed: int, count: int, views: int, centres: int, flips: float
) -> None:
    hashes = clustered(np.random.default_rng(seed), count, views, centres, flips)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BRUTE_FORCE_LIMIT", limit)
        assert near_pairs(hashes) == all_pairs(hashes)


def test_the_index_finds_what_differs_in_any_ten_bits() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    order = rng.random((3000, 64)).argsort(axis=1)
    flips = np.where(np.arange(64) < np.arange(3000)[:, None] % 13, np.uint64(1) << order.astype(np.uint64), 0)
    hashes = np.concatenate([base, base ^ flips.sum(axis=1, dtype=np.uint64)])[:, None]
    assert len(hashes) > near_duplicates.BRUTE_FORCE_LIMIT
    pairs = near_pairs(hashes)
    assert all(pairs[f"{i:06}", f"{i + 3000:06}"] == i % 13 for i in range(3000) if i % 13 <= MAX_STORED_DISTANCE)
    assert all((f"{i:06}", f"{i + 3000:06}") not in pairs for i in range(3000) if i % 13 > MAX_STORED_DISTANCE)


def test_queries_in_batches_find_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_QUERY_BATCH", 50)
    hashes = clustered(np.random.default_rng(1), 2100, 2, 300, 0.06)
    assert len(hashes) > near_duplicates.BRUTE_FORCE_LIMIT
    assert near_pairs(hashes) == all_pairs(hashes) and len(near_pairs(hashes)) > 1000


def stored(world: World) -> dict[Pair, int]:
    with world.dataset.catalog.open(read_only=True) as con:
        return {(a, b): distance for a, b, distance in con.execute("FROM near").fetchall()}


def test_only_photos_of_one_person_are_compared(tmp_path: Path) -> None:
    world = World(tmp_path)
    a, b = world.photo("anna", phash=0b1), world.photo("anna", phash=0b111)
    world.photo("ben", phash=0b1)
    world.photo("anna", phash=(1 << 12) - 1)
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 2  # the third is 9 and 11 bits away
    assert stored(world)[min(a, b), max(a, b)] == 2


def test_a_copy_is_found_by_a_view_of_the_other_photo(tmp_path: Path) -> None:
    world = World(tmp_path)
    a, b = sorted((world.photo(phash=0), world.photo(phash=2**64 - 1)))
    with world.dataset.catalog.open() as con:
        con.execute("UPDATE hashes SET views = ? WHERE phash = 0", [[2**64 - 4, 5]])
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 1
    assert stored(world) == {(a, b): 2}


def test_nobody_is_compared_twice_and_a_new_photo_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    searched: list[int] = []
    for person in ("anna", "ben"):
        world.photo(person, phash=1)
        world.photo(person, phash=3)
    original = near_duplicates.find_pairs

    def counted(photos: Hashes) -> Iterator[NearPairs]:
        searched.append(len(photos.hashes))
        return original(photos)

    monkeypatch.setattr(near_duplicates, "find_pairs", counted)
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 2 and searched == [2, 2]
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 0 and searched == [2, 2]
    world.photo("ben", phash=7)
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 2 and searched == [2, 2, 3]


def test_a_killed_run_goes_on_with_those_it_had_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    for number in range(4):
        world.photo(f"person{number}", phash=number)
        world.photo(f"person{number}", phash=number ^ 1)
    original, searched = near_duplicates.find_pairs, 0

    def killed(photos: Hashes) -> Iterator[NearPairs]:
        nonlocal searched
        searched += 1
        if searched == 3:
            raise KeyboardInterrupt
        return original(photos)

    monkeypatch.setattr(near_duplicates, "BATCH", 2)
    monkeypatch.setattr(near_duplicates, "find_pairs", killed)
    with pytest.raises(KeyboardInterrupt):
        near_duplicates.find(world.dataset.catalog, HASH.id)
    assert len(stored(world)) == 2
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 2 and searched == 5


def test_another_hash_model_starts_afresh(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.photo(phash=0)
    world.photo(phash=1)
    near_duplicates.find(world.dataset.catalog, HASH.id)
    assert near_duplicates.find(world.dataset.catalog, "another@1") == 0 and stored(world) == {}
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 1 and set(stored(world).values()) == {1}


def test_a_catalog_of_an_older_version_is_compared_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    a, b = sorted((world.photo(phash=0), world.photo(phash=1)))
    with world.dataset.catalog.open() as con:
        con.execute("DROP TABLE compared")
        con.execute("ALTER TABLE hashes DROP COLUMN views")
        con.execute("INSERT INTO near VALUES ('a', 'b', 7)")
    world.dataset.catalog.create()
    assert near_duplicates.find(world.dataset.catalog, HASH.id) == 1
    assert stored(world) == {(a, b): 1}


# Between people.


def test_near_copies_under_two_names_are_two_names(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    anna, berta = world.photo("anna", phash=0b1111), world.photo("berta", phash=0b1000)  # three bits apart
    alone = world.photo("berta", phash=0xFFFF << 48)
    near_duplicates.find_between_people(world.dataset.catalog, HASH.id)
    world.judge(LENIENT)
    assert world.verdicts() == {anna: ["two_names"], berta: ["two_names"], alone: []}
    world.judge(LENIENT.model_copy(update={"max_hamming_between": 2}))
    assert world.verdicts() == {anna: [], berta: [], alone: []}
    world.judge(LENIENT.model_copy(update={"max_hamming_between": False}))
    assert world.verdicts() == {anna: [], berta: [], alone: []}
    explained = judge.explain(world.dataset.catalog, anna)
    (rule,) = [rule for rule in explained["rules"] if rule["threshold"] == "max_hamming_between"]
    assert (rule["value"], rule["limit"], rule["out"]) == (3, None, False)


def test_people_are_compared_again_when_there_are_other_photos(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    anna = world.photo("anna", phash=0)
    assert near_duplicates.find_between_people(world.dataset.catalog, HASH.id) == 0
    assert world.dataset.catalog.near_copies.uncompared_between(HASH.id) is None, "and not twice"
    berta = world.photo("berta", phash=1)
    assert near_duplicates.find_between_people(world.dataset.catalog, HASH.id) == 1
    world.judge(LENIENT)
    assert world.verdicts() == {anna: ["two_names"], berta: ["two_names"]}

"""People are picked evenly, and a target is never its own view while there is another photo."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from bolid_train.data.sampler import PersonSampler
from bolid_train.data.shard_dataset import Sample, ShardDataset


def test_picks_depend_on_seed_and_step_alone(dataset: Path) -> None:
    people = ShardDataset(dataset / "shards").people("train")
    first, second = PersonSampler(people, 2, 3, seed=1), PersonSampler(people, 2, 3, seed=1)
    list(map(first.items, range(5)))
    assert first.items(9) == second.items(9)
    assert [PersonSampler(people, 2, 3, seed=2).items(step) for step in range(5)] != list(map(first.items, range(5)))


def test_people_are_picked_evenly_however_many_photos_they_have(dataset: Path) -> None:
    people = ShardDataset(dataset / "shards").people("train")
    sampler = PersonSampler(people, 2, 3, seed=0)
    counts = Counter(pick.target.person for step in range(600) for pick in sampler.items(step))
    assert all(abs(count / 1200 - 1 / 3) < 0.04 for count in counts.values())


def test_target_and_views_are_different_photos_of_one_person(dataset: Path) -> None:
    people = ShardDataset(dataset / "shards").people("train")
    sampler = PersonSampler(people, 3, 3, seed=0)
    picks = [pick for step in range(100) for pick in sampler.items(step)]
    sizes = Counter(len(pick.views) for pick in picks if pick.target.person == "anna")
    assert set(sizes) == {1, 2, 3}
    for pick in picks:
        assert {view.person for view in [*pick.views, pick.reference]} == {pick.target.person}
        assert pick.target not in [*pick.views, pick.reference] or pick.target.person == "clara"
        assert len(set(pick.views)) == len(pick.views)


def test_rows_draw_from_seeds_of_their_own(dataset: Path) -> None:
    sampler = PersonSampler(ShardDataset(dataset / "shards").people("train"), 3, 3, seed=0)
    seeds = [pick.seed for step in range(50) for pick in sampler.items(step)]
    assert len(set(seeds)) == len(seeds)


def test_a_batch_may_be_larger_than_the_number_of_people(dataset: Path) -> None:
    people = ShardDataset(dataset / "shards").people("train")
    picks = PersonSampler(people, 16, 3, seed=0).items(1)
    assert len(picks) == 16 and {pick.target.person for pick in picks} == set(people)


def test_two_processes_share_what_one_would_have(dataset: Path) -> None:
    sampler = PersonSampler(ShardDataset(dataset / "shards").people("train"), 4, 3, seed=0)
    picks = sampler.items(3)
    assert sorted(pick.seed for rank in (0, 1) for pick in picks[rank::2]) == sorted(pick.seed for pick in picks)


_SIZES = {"tall": (480, 640), "wide": (640, 480), "square": (512, 512)}
_SHAPES = {
    "anna": ["tall"] * 9 + ["wide"],
    "boris": ["tall", "wide", "square"],
    "clara": ["wide"] * 2,
    "daria": ["tall"] * 4,
}


def _photos(person: str, shapes: list[str]) -> list[Sample]:
    sample = Sample("", person, "", "train-000000.tar", 0, 0, 0, 0, "", ())
    sizes = [_SIZES[shape] for shape in shapes]
    return [
        dataclasses.replace(sample, key=f"{person}-{number}", width=width, height=height)
        for number, (width, height) in enumerate(sizes)
    ]


def _size(photo: Sample) -> tuple[int, int]:
    return photo.width, photo.height


def test_targets_of_a_batch_have_one_size_and_views_may_have_any() -> None:
    people = {person: _photos(person, shapes) for person, shapes in _SHAPES.items()}
    sampler = PersonSampler(people, 2, 3, seed=0, size_of=_size)
    batches = [sampler.items(step) for step in range(200)]
    assert all(len({_size(pick.target) for pick in picks}) == 1 for picks in batches)
    assert {_size(picks[0].target) for picks in batches} == set(_SIZES.values())
    assert any(_size(view) != _size(pick.target) for picks in batches for pick in picks for view in pick.views)


def test_people_are_as_likely_as_each_other_whatever_shapes_their_photos_have() -> None:
    people = {person: _photos(person, shapes) for person, shapes in _SHAPES.items()}
    sampler = PersonSampler(people, 1, 3, seed=0, size_of=_size)
    targets = [pick.target for step in range(3000) for pick in sampler.items(step)]
    counts = Counter(target.person for target in targets)
    assert all(count / len(targets) == pytest.approx(1 / len(people), abs=0.025) for count in counts.values())
    annas = Counter(target.key for target in targets if target.person == "anna")
    assert all(count / annas.total() == pytest.approx(0.1, abs=0.04) for count in annas.values())

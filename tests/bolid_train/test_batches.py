"""People are picked evenly, and a target is never its own view while there is another photo."""

from collections import Counter
from pathlib import Path

from bolid_train.batches import PersonSampler
from bolid_train.views import Shards


def test_picks_depend_on_seed_and_step_alone(dataset: Path) -> None:
    people = Shards(dataset / "shards").people("train")
    first, second = PersonSampler(people, 2, 3, seed=1), PersonSampler(people, 2, 3, seed=1)
    list(map(first.picks, range(5)))
    assert first.picks(9) == second.picks(9)
    assert [PersonSampler(people, 2, 3, seed=2).picks(step) for step in range(5)] != list(map(first.picks, range(5)))


def test_people_are_picked_evenly_however_many_photos_they_have(dataset: Path) -> None:
    people = Shards(dataset / "shards").people("train")
    sampler = PersonSampler(people, 2, 3, seed=0)
    counts = Counter(pick.target.person for step in range(600) for pick in sampler.picks(step))
    assert all(abs(count / 1200 - 1 / 3) < 0.04 for count in counts.values())


def test_target_and_views_are_different_photos_of_one_person(dataset: Path) -> None:
    people = Shards(dataset / "shards").people("train")
    sampler = PersonSampler(people, 3, 3, seed=0)
    picks = [pick for step in range(100) for pick in sampler.picks(step)]
    sizes = Counter(len(pick.views) for pick in picks if pick.target.person == "anna")
    assert set(sizes) == {1, 2, 3}
    for pick in picks:
        assert {view.person for view in [*pick.views, pick.reference]} == {pick.target.person}
        assert pick.target not in [*pick.views, pick.reference] or pick.target.person == "clara"
        assert len(set(pick.views)) == len(pick.views)

"""Who is drawn how: other clothes, another pose and another place than on the reference, the same for all methods."""

from collections.abc import KeysView

import numpy as np
import pytest

from bolid_data.errors import BolidError
from bolid_train.data.shard_dataset import Sample
from bolid_train.evaluate.cases import _weighted_share, choose_cases, choose_prompts, make_case

COLOURS, POSES, PLACES = (
    ("red", "green", "blue", "white"),
    ("sitting", "running", "waving"),
    ("beach", "room", "street"),
)


def _photo(person: str, number: int, caption: str) -> Sample:
    return Sample(f"{person}-{number}", person, "", "", 0, 0, 64, 64, caption, ())


def _people(count: int = 12, photos: int = 6) -> dict[str, list[Sample]]:
    """People whose hair stays and whose clothes, pose and place change from photo to photo."""
    random = np.random.default_rng(0)
    return {
        f"p{person}": [
            _photo(
                f"p{person}",
                number,
                f"a person with {'dark' if person % 2 else 'fair'} hair in a {random.choice(COLOURS)} coat, "
                f"{random.choice(POSES)}, on a {random.choice(PLACES)}",
            )
            for number in range(photos)
        ]
        for person in range(count)
    }


def test_prompts_ask_for_what_the_reference_does_not_show_and_keep_the_person() -> None:
    for case in choose_cases(_people(), seed=0, views=3, prompts=4):
        shown = set(case.reference.caption.replace(",", "").split())
        own = {"dark", "fair"} & shown
        for prompt in case.prompts:
            asked = set(prompt.caption.replace(",", "").split())
            assert prompt.person != case.person
            assert own <= asked
            assert not (shown & asked) & {*COLOURS, *POSES, *PLACES}


def test_no_method_sees_the_photos_that_it_is_compared_with() -> None:
    for case in choose_cases(_people(), seed=0, views=4, prompts=2):
        assert len(case.views) == 4 and len(case.held_out) == 2
        assert not {photo.key for photo in case.views} & {photo.key for photo in case.held_out}


def test_the_choice_depends_on_the_seed_alone_and_not_on_who_else_is_measured() -> None:
    first = choose_cases(_people(), seed=0, views=3, prompts=4)
    assert first == choose_cases(_people(), seed=0, views=3, prompts=4)
    assert first[:2] == choose_cases(_people(), seed=0, views=3, prompts=4, count=2)
    assert first != choose_cases(_people(), seed=1, views=3, prompts=4)
    assert first[0].views[:1] == choose_cases(_people(), seed=0, views=1, prompts=4)[0].views
    assert len({seed for case in first for seed in case.seeds}) == 4 * len(first)


def test_people_with_too_few_photos_are_left_out_and_one_alone_is_an_error() -> None:
    people = _people(3) | {"p9": _people(10)["p9"][:2]}
    assert [case.person for case in choose_cases(people, seed=0, views=3, prompts=1)] == ["p0", "p1", "p2"]
    with pytest.raises(BolidError, match="0 people of the split have more than 6 photos"):
        choose_cases(people, seed=0, views=6, prompts=1)


def test_someone_alone_is_asked_for_by_their_own_captions() -> None:
    people = {"p0": _people()["p0"]}
    assert {prompt.person for prompt in make_case("p0", people, seed=0, views=3, prompts=3).prompts} == {"p0"}


def test_captions_without_a_word_in_common_are_prompts_too() -> None:
    one, other = _photo("a", 0, ""), _photo("b", 0, "")
    assert choose_prompts(one, [one], [other], 2, np.random.default_rng(0)) == (other, other)


def test_how_well_a_caption_suits_does_not_depend_on_the_order_of_sets() -> None:
    """Which is another one in every process; captions that suit equally must not change places by it."""
    random = np.random.default_rng(0)
    weights = {f"word{number}": float(weight) for number, weight in enumerate(random.random(40))}

    def shuffled(count: int) -> KeysView[str]:
        return dict.fromkeys(random.permutation(list(weights)[:count]).tolist()).keys()

    assert len({_weighted_share(shuffled(20), shuffled(40), weights) for _ in range(20)}) == 1

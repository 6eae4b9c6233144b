"""What the check of a base counts."""

import numpy as np
import pytest
import torch

from small_world.check.base import ASKED, captions, like_the_prompt, one_prompt, shares, spreads
from small_world.world3d.photos import Photos
from small_world.worlds import FLAT, WORLD_3D, WORLDS, World


@pytest.mark.parametrize(
    ("world", "prompt"),
    [
        (FLAT, "a full-body photo of a person, arms down, in a studio"),
        (WORLD_3D, "a full-body photo of a person from the front, standing, arms down, in a studio"),
    ],
    ids=list(WORLDS),
)
def test_the_one_prompt_leaves_the_body_open(world: World, prompt: str) -> None:
    assert one_prompt(world) == prompt


def test_photos_like_the_prompt_show_as_much_of_a_body(few: Photos) -> None:
    labels = np.repeat(few.labels[:1], 3, axis=0)
    said = {"framing": "full-body", "facing": "from the front", "stance": "standing", "arms": "arms down"}
    for name, word in said.items():
        labels[:, WORLD_3D.attributes.index(name)] = WORLD_3D.words[name].index(word)
    labels[1, WORLD_3D.attributes.index("facing")] = WORLD_3D.words["facing"].index("from behind")
    three = Photos(**{name: value[:3] for name, value in vars(few).items()} | {"labels": labels})
    assert like_the_prompt(three, WORLD_3D).tolist() == [0, 2]


def test_captions_are_those_without_the_build(few: Photos) -> None:
    assert captions(few, torch.tensor([5, 0]), WORLD_3D) == [few.caption(5), few.caption(0)]


def test_what_a_prompt_does_not_say_does_not_count() -> None:
    nothing = {name: words.index("") for name, words in WORLD_3D.words.items()}
    asked = [[0] * len(nothing), list((nothing | {"framing": 0, "facing": 1, "top": 3}).values())]
    found = torch.tensor(asked)
    figures = shares("x", found, torch.tensor(asked), WORLD_3D)
    assert set(figures.values()) == {100.0}
    found[1] = 2  # wrong in all that the second prompt says, and in what it does not say
    figures = shares("x", found, torch.tensor(asked), WORLD_3D)
    assert (figures["x: facing as asked (%)"], figures["x: hair as asked (%)"]) == (50.0, 100.0)
    together = figures["x: colours, hair, framing and side as asked (%)"]
    assert together == pytest.approx(100 * 5 / 8), "three of the eight that are said are wrong"
    assert len(ASKED["3d"]) == 5


def test_bodies_of_one_prompt_that_are_alike_have_little_spread() -> None:
    real = np.random.default_rng(0).normal(3, (1, 2, 4), (50, 3)).astype(np.float32)
    real[::7, 1] = np.nan
    alike = 3 + (real - 3) * np.array([0.5, 0.25, 1], np.float32)
    figures = spreads("x", {"shape": alike}, {"shape": real})
    ratios = {
        which: figures[f"x: spread of shape / that of real people, {which}"] for which in ("least", "median", "most")
    }
    assert ratios == pytest.approx({"least": 0.25, "median": 0.5, "most": 1})

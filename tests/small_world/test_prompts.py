"""Captions that say one thing."""

import pytest

from small_world.prompts import prompts
from small_world.worlds import FLAT, WORLD_3D, World


@pytest.mark.parametrize("world", [FLAT, WORLD_3D], ids=lambda world: world.name)
def test_each_word_is_said_in_a_caption_of_its_own(world: World) -> None:
    for name, captions in prompts(world).items():
        words = [word for word in world.words[name] if word]
        assert len(set(captions)) == len(captions) == len(words)
        assert all(word in caption for word, caption in zip(words, captions, strict=True))
        assert all(caption.startswith("a ") and "person" in caption for caption in captions)


def test_the_flat_world_is_asked_for_what_every_photo_shows() -> None:
    asked = prompts(FLAT)
    assert list(asked) == ["framing", "skin", "haircut", "hair", "sleeves", "top", "arms", "background"]
    assert asked["top"][0] == "a photo of a person, in a red top"
    assert asked["hair"][0] == f"a photo of a person with {FLAT.words['hair'][0]} hair"


def test_in_three_dimensions_colours_and_sleeves_are_those_of_a_garment() -> None:
    asked = prompts(WORLD_3D)
    assert set(asked) == set(WORLD_3D.attributes)
    assert asked["top"][0] == "a photo of a person, in a red top"
    assert asked["sleeves"][2] == "a photo of a person, in a sleeveless top"
    assert asked["bottom"][0] == "a photo of a person, in black trousers"
    assert asked["legs"] == [f"a photo of a person, in {worn}" for worn in ("trousers", "shorts", "a skirt")]
    assert asked["facing"][2] == "a photo of a person from behind"
    assert asked["hair"][-1] == "a photo of a person, with no hair"
    assert asked["stance"][0] == "a photo of a person, standing"

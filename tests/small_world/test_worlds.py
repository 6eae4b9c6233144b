"""Captions that leave attributes out: nothing is untrue, and everything is mentioned at times."""

import re
from dataclasses import replace

import numpy as np

from bolid_data.synthetic.caption import ATTRIBUTES, WORDS, Description
from small_world.labels import from_labels, to_labels
from small_world.tokenizer import build_tokenizer
from small_world.world3d.photos import Photos
from small_world.worlds import WORLD_3D

_NOUNS = "|".join((*WORDS["garment"], *WORDS["legs"], "hair"))
_COLOURED = re.compile(rf"(?:{'|'.join(WORDS['top'] + WORDS['hair'])}) (?:{_NOUNS})")


def drop(description: Description, rng: np.random.Generator, chance: float = 0.15) -> str:
    return WORLD_3D.partial_caption(to_labels(description), rng, chance)


def describe_at_random(rng: np.random.Generator) -> Description:
    described = from_labels([int(rng.integers(len(WORDS[name]))) for name in ATTRIBUTES])
    if rng.random() < 0.3:
        described = replace(described, bottom="", legs="", stance="", arms="")
    if rng.random() < 0.3:
        described = replace(described, hair="", sleeves="")
    return replace(described, build="tall and stout")


def test_with_nothing_left_out_it_is_the_description() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        described = describe_at_random(rng)
        assert drop(described, rng, chance=0) == described.sentence(build=False)


def test_what_is_kept_is_part_of_the_caption() -> None:
    rng = np.random.default_rng(1)
    for _ in range(1000):
        described = describe_at_random(rng)
        caption, some = described.sentence(build=False), drop(described, rng, 0.4)
        left = iter(_words(caption))
        assert all(word in left for word in _words(some)), (some, caption)  # the same words in the same order
        assert all(coloured in caption for coloured in _COLOURED.findall(some)), (some, caption)
        assert not re.search(r"\b(a [aeiou]|an [^aeiou]|a ,|, ,|  )", some), some


def _words(caption: str) -> list[str]:
    return [word for word in re.findall(r"[\w-]+", caption) if word not in ("a", "an", "and")]


def test_every_attribute_is_left_out_at_times_and_kept_mostly() -> None:
    rng = np.random.default_rng(2)
    described = Description(
        "full-body", "from behind", "", "brown", "long-sleeved", "red", "dress", "blue", "shorts", "sitting",
        "arms raised", "by the sea",
    )  # fmt: skip
    captions = [drop(described, rng) for _ in range(2000)]
    kept = {name: np.mean([getattr(described, name) in caption for caption in captions]) for name in ATTRIBUTES}
    for name, share in kept.items():
        due = 0.85**2 if name in ("sleeves", "top", "bottom") else 0.85
        assert abs(share - due) < 0.04, name


def test_no_caption_tells_left_from_right_so_that_photos_may_be_mirrored() -> None:
    words = {word for values in WORDS.values() for value in values for word in re.findall(r"\w+", value)}
    assert not words & {"left", "right"}


def test_every_word_of_a_caption_is_one_token(few: Photos) -> None:
    tokenizer = build_tokenizer(WORLD_3D.vocabulary)
    for row in range(len(few)):
        tokens = tokenizer.tokenize(few.build_caption(row))
        assert tokens == [f"{word}</w>" for word in re.findall(r"\w+|[^\w\s]", few.build_caption(row))]
    for values in WORDS.values():
        for value in values:
            assert all(token.endswith("</w>") for token in tokenizer.tokenize(value)), value

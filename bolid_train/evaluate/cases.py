"""The evaluation cases: each person's views, held-out photos, prompts and seeds."""

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bolid_data.errors import BolidError
from bolid_train.data.shard_dataset import Sample

_BEST_SHARE = 0.05
"""The share of captions, the most suitable ones, from which prompts are sampled."""


@dataclass(frozen=True)
class Case:
    """One person of a split."""

    person: str
    views: tuple[Sample, ...]  # photos for the methods; the first is the reference
    held_out: tuple[Sample, ...]  # photos that no method gets, for comparison
    prompts: tuple[Sample, ...]  # photos of other people, whose captions are the prompts
    seeds: tuple[int, ...]  # of the noise, one per prompt

    @property
    def reference(self) -> Sample:
        """The photo for the ref branch."""
        return self.views[0]

    @property
    def photos(self) -> tuple[Sample, ...]:
        """All of the person's photos in this case."""
        return self.views + self.held_out


def choose_cases(
    people: dict[str, list[Sample]], seed: int, views: int, prompts: int, count: int | None = None
) -> list[Case]:
    """Cases of people who have `views` photos and at least one more, all of them or the first `count`.

    The choice depends only on the seed and the photos, so that it is the same for all methods. Raises BolidError for
    fewer than two people, which give no interval.
    """
    selected = [person for person, photos in people.items() if len(photos) > views][:count]
    if len(selected) < 2:
        raise BolidError(
            f"{len(selected)} people of the split have more than {views} photos, but two are needed; lower --views, "
            "or shard more people"
        )
    return [make_case(person, people, seed, views, prompts) for person in selected]


def make_case(person: str, people: dict[str, list[Sample]], seed: int, views: int, prompts: int) -> Case:
    """A person's case. Without other people, prompts are the person's own captions; with too few photos, there are
    fewer views."""
    random = np.random.default_rng((seed, zlib.crc32(person.encode())))
    photos = [people[person][i] for i in random.permutation(len(people[person]))]
    others = [photo for name, others_photos in people.items() if name != person for photo in others_photos]
    prompt_photos = choose_prompts(photos[0], photos, others or photos, prompts, random)
    seeds = random.integers(2**31, size=prompts).tolist()
    return Case(person, tuple(photos[:views]), tuple(photos[views:]), prompt_photos, tuple(seeds))


def choose_prompts(
    reference: Sample, photos: Sequence[Sample], others: Sequence[Sample], count: int, random: np.random.Generator
) -> tuple[Sample, ...]:
    """Photos of `others` whose captions ask for other clothes, another pose and another place than the reference's.

    Words in every caption of the person's `photos`, such as hair, describe the person and may be asked for; other words
    of the reference's caption should not be. Rare words weigh more, since words like "person" are in every caption.
    """
    frequencies = Counter(word for photo in others for word in _words(photo))
    weights = {word: math.log((1 + len(others)) / frequency) for word, frequency in frequencies.items()}
    person_words = frozenset.intersection(*map(_words, photos))
    other_words = _words(reference) - person_words

    def suitability(photo: Sample) -> float:
        words = _words(photo)
        wanted = _weighted_share(words & person_words, person_words, weights)
        return wanted - _weighted_share(words & other_words, other_words, weights)

    shuffled = [others[i] for i in random.permutation(len(others))]
    best = sorted(shuffled, key=suitability, reverse=True)[: max(count, round(_BEST_SHARE * len(shuffled)))]
    return tuple(best[i] for i in random.choice(len(best), count, replace=len(best) < count))


def _words(photo: Sample) -> frozenset[str]:
    return _words_of(photo.caption)


@lru_cache(100_000)  # every person's prompts are chosen among all captions
def _words_of(caption: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w-]+", caption.lower()))


def _weighted_share(part: Set[str], words: Set[str], weights: dict[str, float]) -> float:
    # Exact sums: ordinary sums of floats depend on the order of a set, which differs between processes, and so would
    # the ranking of nearly equal prompts.
    total = math.fsum(weights.get(word, 0.0) for word in words)
    return math.fsum(weights.get(word, 0.0) for word in part) / total if total else 0.0

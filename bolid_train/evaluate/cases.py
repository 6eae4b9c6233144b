"""What is drawn of whom: each person's views, the photos kept for comparison, prompts and noise."""

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

_NEAREST = 0.05
"""Of all captions, the share that suits best; prompts are drawn from these."""


@dataclass(frozen=True)
class Case:
    """One person of a split."""

    person: str
    views: tuple[Sample, ...]  # what methods see; the first is the reference
    others: tuple[Sample, ...]  # photos that no method sees
    prompts: tuple[Sample, ...]  # photos of other people, whose captions are the prompts
    seeds: tuple[int, ...]  # one a prompt: the noise

    @property
    def reference(self) -> Sample:
        """The photo that the ref branch sees."""
        return self.views[0]

    @property
    def photos(self) -> tuple[Sample, ...]:
        """All of the person's photos that count."""
        return self.views + self.others


def choose(
    people: dict[str, list[Sample]], seed: int, views: int, prompts: int, count: int | None = None
) -> list[Case]:
    """Cases of people who have `views` photos and at least one more, all of them or the first `count`.

    The choice depends on the seed and the photos alone, so all methods are measured on the same. Raises BolidError for
    fewer than two people: no interval could be given.
    """
    chosen = {person: photos for person, photos in people.items() if len(photos) > views}
    chosen = dict(list(chosen.items())[:count])
    if len(chosen) < 2:
        raise BolidError(
            f"{len(chosen)} people of the split have more than {views} photos, but two are needed; give --views less, "
            "or shard more people"
        )
    return [case_of(person, people, seed, views, prompts) for person in chosen]


def case_of(person: str, people: dict[str, list[Sample]], seed: int, views: int, prompts: int) -> Case:
    """A person's case; prompts are the person's own captions where there is no one else, and views are fewer where
    there are no more photos."""
    random = np.random.default_rng((seed, zlib.crc32(person.encode())))
    own = [people[person][i] for i in random.permutation(len(people[person]))]
    strangers = [photo for name, photos in people.items() if name != person for photo in photos]
    asked = choose_prompts(own[0], own, strangers or own, prompts, random)
    seeds = random.integers(2**31, size=prompts).tolist()
    return Case(person, tuple(own[:views]), tuple(own[views:]), asked, tuple(seeds))


def choose_prompts(
    reference: Sample, own: Sequence[Sample], strangers: Sequence[Sample], count: int, random: np.random.Generator
) -> tuple[Sample, ...]:
    """Photos of strangers whose captions ask for other clothes, another pose and another place than the reference's.

    What every caption of the person says (`own`) is the person's, such as hair, and may be asked for; other words of
    the reference's caption should not be. Rare words count for more: nearly all photos are of a person.
    """
    common = Counter(word for photo in strangers for word in _words(photo))
    weights = {word: math.log((1 + len(strangers)) / number) for word, number in common.items()}
    theirs = frozenset.intersection(*map(_words, own))
    worn = _words(reference) - theirs

    def suits(photo: Sample) -> float:
        words = _words(photo)
        return _share(words & theirs, theirs, weights) - _share(words & worn, worn, weights)

    shuffled = [strangers[i] for i in random.permutation(len(strangers))]
    best = sorted(shuffled, key=suits, reverse=True)[: max(count, round(_NEAREST * len(shuffled)))]
    return tuple(best[i] for i in random.choice(len(best), count, replace=len(best) < count))


def _words(photo: Sample) -> frozenset[str]:
    return _words_of(photo.caption)


@lru_cache(100_000)  # each person's prompts are chosen among all captions
def _words_of(caption: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w-]+", caption.lower()))


def _share(found: Set[str], of: Set[str], weights: dict[str, float]) -> float:
    # Exact sums: those of floats depend on the order of sets, which changes from process to process, and so would
    # prompts that are nearly as good as each other.
    whole = math.fsum(weights.get(word, 0.0) for word in of)
    return math.fsum(weights.get(word, 0.0) for word in found) / whole if whole else 0.0

"""Which people and photos a step trains on."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from bolid_train.data.shard_dataset import Sample

_PEOPLE = 16  # photos of a person whose proportions stand for the person's, at most


@dataclass(frozen=True)
class Pick:
    """One row of a batch before its features are read."""

    target: Sample
    reference: Sample
    views: Sequence[Sample]
    people: Sequence[Sample] = ()  # photos of the person whose proportions stand for the person's
    seed: int = 0


class PersonSampler:
    """Picks people evenly, however many photos each has, then different photos of a person as target and as views.

    All targets of a batch have one size. A size is drawn in proportion to the people who have photos of it, someone
    with a third of their photos in it counting a third, and its people in the same proportion; so over many steps every
    person is as likely as every other, and so is every photo of a person. Within a batch people are even only as far as
    their photos of that size go. References and views may be of any size.
    """

    def __init__(
        self,
        people: dict[str, list[Sample]],
        batch_size: int,
        views: int,
        seed: int,
        size_of: Callable[[Sample], Hashable] = lambda _: None,
    ) -> None:
        """`size_of` a target; without it, all have one."""
        self._batch_size, self._views, self._seed = batch_size, views, seed
        self._people = list(people.values())
        grouped: dict[Hashable, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
        for person, photos in enumerate(self._people):
            for photo in photos:
                grouped[size_of(photo)][person].append(photo)
        self._groups = list(grouped.values())
        self._shares = [
            np.array([len(own) / len(self._people[person]) for person, own in group.items()]) for group in self._groups
        ]

    def picks(self, step: int) -> list[Pick]:
        """The rows of a step; they depend on the seed and the step alone, so a resumed run sees what it would have.

        No person stands twice in a batch while there are enough; a person's only photo is target and view at once.
        """
        random = np.random.default_rng((self._seed, step))
        sums = np.array([shares.sum() for shares in self._shares])
        number = random.choice(len(sums), p=sums / sums.sum())
        group, shares = self._groups[number], self._shares[number]
        repeat = len(group) < self._batch_size
        chosen = random.choice(list(group), size=self._batch_size, replace=repeat, p=shares / shares.sum())
        return [self._pick(group[person], self._people[person], random) for person in chosen]

    def _pick(self, targets: list[Sample], photos: list[Sample], random: np.random.Generator) -> Pick:
        target = targets[random.integers(len(targets))]
        order = [photos[i] for i in random.permutation(len(photos))]
        others = [photo for photo in order if photo is not target] or order
        reference = others[random.integers(len(others))]
        # Any number of views, so that one photo works at generation as well as many.
        count = random.integers(1, min(self._views, len(others)) + 1)
        return Pick(target, reference, others[:count], order[:_PEOPLE], int(random.integers(2**62)))

"""Samples the people and photos of each training step."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from bolid_train.data.shard_dataset import Sample


@dataclass(frozen=True)
class BatchItem:
    """The photos of one row of a batch."""

    target: Sample
    reference: Sample
    views: Sequence[Sample]
    seed: int = 0


class PersonSampler:
    """Samples people uniformly, however many photos each has, then different photos of a person as target and as views.

    All targets of a batch have the same size. The size is sampled in proportion to the people who have photos of it,
    where a person with a third of their photos in it counts a third, and its people in the same proportion. Over many
    steps every person is equally likely, and so is every photo of a person; within a batch, people are only as uniform
    as their photos of that size allow. References and views may have any size.
    """

    def __init__(
        self,
        people: dict[str, list[Sample]],
        batch_size: int,
        views: int,
        seed: int,
        size_of: Callable[[Sample], Hashable] = lambda _: None,
    ) -> None:
        """`size_of` a target; by default, all targets have the same size."""
        self._batch_size, self._views, self._seed = batch_size, views, seed
        self._people = list(people.values())
        grouped: dict[Hashable, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
        for person, photos in enumerate(self._people):
            for photo in photos:
                grouped[size_of(photo)][person].append(photo)
        self._groups = list(grouped.values())
        self._shares = [
            np.array([len(photos) / len(self._people[person]) for person, photos in group.items()])
            for group in self._groups
        ]

    def items(self, step: int) -> list[BatchItem]:
        """The items of a step's batch. They depend only on the seed and the step, so a resumed run gets the same items.

        No person is in a batch twice if there are enough people; a person's only photo is both target and view.
        """
        random = np.random.default_rng((self._seed, step))
        sums = np.array([shares.sum() for shares in self._shares])
        number = random.choice(len(sums), p=sums / sums.sum())
        group, shares = self._groups[number], self._shares[number]
        repeat = len(group) < self._batch_size
        sampled = random.choice(list(group), size=self._batch_size, replace=repeat, p=shares / shares.sum())
        return [self._item(group[person], self._people[person], random) for person in sampled]

    def _item(self, targets: list[Sample], photos: list[Sample], random: np.random.Generator) -> BatchItem:
        target = targets[random.integers(len(targets))]
        order = [photos[i] for i in random.permutation(len(photos))]
        others = [photo for photo in order if photo is not target] or order
        reference = others[random.integers(len(others))]
        # The number of views varies, so that generation works with one photo as well as with many.
        count = random.integers(1, min(self._views, len(others)) + 1)
        seed = int(random.integers(2**62))
        if target.captions:
            captions = target.with_each_caption()
            target = captions[random.integers(len(captions))]
        return BatchItem(target, reference, others[:count], seed)

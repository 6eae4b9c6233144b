"""What a step trains on: the batch, and the choice of people and photos behind it."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bolid_train.randomness import RowRandom
from bolid_train.views import Sample


@dataclass(frozen=True)
class Views:
    """What frozen models said of V Gaussian-weighted photos of each of B people, squashed to a square. K = 17."""

    embeds: Tensor  # (B, V, D_ref): CLIP embeddings
    latents: Tensor  # (B, V, C, h, w): the VAE's, scaled
    keypoints: Tensor  # (B, V, K, 3): x, y as fractions of the photo's width and height, confidence
    sizes: Tensor  # (B, V, 2): the photo's width and height in pixels
    confidence: Tensor  # (B, V): mean confidence of the visible keypoints, 0 for padding

    def given(self) -> Tensor:
        """Which rows have any view: bool (B,)."""
        return self.confidence.sum(dim=1) > 0

    def rows(self, chosen: slice) -> "Views":
        """Some of the rows."""
        return _map(self, lambda values: values[chosen])


@dataclass(frozen=True)
class Batch:
    """What frozen models said of B targets and of the people in them. L tokens, K = 17 keypoints, P photos."""

    latents: Tensor  # (B, C, h, w), scaled as the UNet takes them
    keypoints: Tensor  # (B, K, 3) of the target: x, y as fractions of the image that the latents are of, confidence
    prompt_embeds: Tensor  # (B, L, D_text)
    pooled_prompt_embeds: Tensor  # (B, D_pooled)
    time_ids: Tensor  # (B, 6): SDXL's original size, crop and target size
    image_embeds: Tensor  # (B, D_ref): CLIP embedding of one reference photo; zeros where there is none
    views: Views
    random: RowRandom
    reference_keypoints: Tensor | None = None  # (B, K, 3) of the reference, as `keypoints`
    people_keypoints: Tensor | None = None  # (B, P, K, 3) of photos of the person: pixels, confidence 0 for padding
    clip_texts: Tensor | None = None  # (B, D): unit vectors of the captions, by the CLIP of the objective
    clip_references: Tensor | None = None  # (B, D): of the reference photos
    step: int = 0  # of training, for what warms up

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> "Batch":
        """The batch in float32 on `device`."""
        return _map(self, lambda values: values.to(device, torch.float32, non_blocking=True), device)

    def rows(self, chosen: slice) -> "Batch":
        """Some of the rows."""
        return _map(self, lambda values: values[chosen], chosen)


def _map(record: Any, change: Any, rest: Any = None) -> Any:
    """The record with its tensors changed, and what else it holds moved (to a device) or cut (by a slice)."""
    changed = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = change(value)
        elif isinstance(value, Views):
            changed[field.name] = _map(value, change)
        elif isinstance(value, RowRandom):
            changed[field.name] = value.rows(rest) if isinstance(rest, slice) else value.to(rest)
    return replace(record, **changed)


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


_PEOPLE = 16


def no_views(rows: int, ref_dim: int, latents: tuple[int, int, int]) -> Views:
    """Rows without a view: the body is drawn. `latents`: (C, h, w)."""
    return Views(
        torch.zeros(rows, 1, ref_dim),
        torch.zeros(rows, 1, *latents),
        torch.zeros(rows, 1, 17, 3),
        torch.ones(rows, 1, 2),
        torch.zeros(rows, 1),
    )

"""What a step trains on: the batch, and the choice of people and photos behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from bolid_train.views import Sample


@dataclass(frozen=True)
class Batch:
    """What frozen models said of B targets and of the people in them. B batch, V views, L tokens, K = 17 keypoints."""

    latents: Tensor  # (B, 4, h, w), scaled as the UNet takes them
    keypoints: Tensor  # (B, K, 3): x, y as fractions of the target image, confidence
    prompt_embeds: Tensor  # (B, L, D_text)
    pooled_prompt_embeds: Tensor  # (B, D_pooled)
    time_ids: Tensor  # (B, 6): SDXL's original size, crop and target size
    image_embeds: Tensor  # (B, D_ref): CLIP embedding of one reference photo; zeros where there is none
    view_embeds: Tensor  # (B, V, D_ref): CLIP embeddings of Gaussian-weighted views
    confidence: Tensor  # (B, V): their pose confidence, 0 for padding

    def to(self, device: torch.device) -> "Batch":
        """The batch in float32 on `device`."""
        moved = {f.name: getattr(self, f.name).to(device, torch.float32, non_blocking=True) for f in fields(self)}
        return replace(self, **moved)


@dataclass(frozen=True)
class Pick:
    """One row of a batch before its features are read."""

    target: Sample
    reference: Sample
    views: Sequence[Sample]


class PersonSampler:
    """Picks people evenly, however many photos each has, then different photos of a person as target and as views."""

    def __init__(self, people: dict[str, list[Sample]], batch_size: int, views: int, seed: int) -> None:
        self._people = list(people.values())
        self._batch_size, self._views, self._seed = batch_size, views, seed

    def picks(self, step: int) -> list[Pick]:
        """The rows of a step; they depend on the seed and the step alone, so a resumed run sees what it would have.

        No person stands twice in a batch while there are enough; a person's only photo is target and view at once.
        """
        random = np.random.default_rng((self._seed, step))
        repeat = len(self._people) < self._batch_size
        chosen = random.choice(len(self._people), size=self._batch_size, replace=repeat)
        return [self._pick(self._people[person], random) for person in chosen]

    def _pick(self, photos: list[Sample], random: np.random.Generator) -> Pick:
        order = [photos[i] for i in random.permutation(len(photos))]
        target, others = order[0], order[1:] or order
        reference = others[random.integers(len(others))]
        # Any number of views, so that one photo works at generation as well as many.
        count = random.integers(1, min(self._views, len(others)) + 1)
        return Pick(target, reference, others[:count])

"""Batches of cached features."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch, Views
from bolid_train.data.buckets import Sized
from bolid_train.data.crops import Keypoints
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.features.feature import Feature, Role
from bolid_train.data.person_proportions import ProportionStatistics
from bolid_train.data.sampler import BatchItem
from bolid_train.data.shard_dataset import Sample
from bolid_train.data.squares import in_squares
from bolid_train.data.weighting import pose_confidence
from bolid_train.diffusion.rng import RowRandom

_BASE = ("latents", "keypoints", "time_ids", "prompt_embeds", "pooled_prompt_embeds")
"""What every method has is a field of `Batch`, not an entry of its features."""


def make_batch(
    cache: FeatureCache,
    items: Sequence[BatchItem],
    average_references: bool = False,
    statistics: ProportionStatistics | None = None,
) -> Batch:
    """The items' features as a batch; views are padded to the largest number of them.

    Args:
        average_references: take the mean over all views as the reference, as `bolid generate` does, so that methods
            without a body use the same photos.
        statistics: of the people, for the losses that compare proportions.
    """
    targets, references = [item.target for item in items], [item.reference for item in items]
    columns = _stack(cache, targets, _names(cache, "target"))
    base: dict[str, Any] = {name: columns.pop(name) for name in _BASE}
    names = _names(cache, "reference")
    if average_references:
        rows = [_stack(cache, list(item.views), names) for item in items]
        columns |= {name: torch.stack([mean_of_photos(row[name]) for row in rows]) for name in names}
    else:
        columns |= _stack(cache, references, names)
    names = _names(cache, "view")
    rows = [_stack(cache, list(item.views), names) for item in items]
    columns |= {name: _pad([row[name] for row in rows]) for name in names}
    if statistics:
        base["proportions"] = statistics.of([item.target.person for item in items])
    return Batch(
        **base,
        features=columns,
        views=make_views([item.views for item in items], cache.settings),
        reference_keypoints=_stack(cache, references, ["keypoints"])["keypoints"],
        random=RowRandom([item.seed for item in items]),
    )


class Posed(Sized, Protocol):
    """A photo with the keypoints (17, 3) of the person on it, in pixels."""

    @property
    def keypoints(self) -> Keypoints: ...


def make_views(views: Iterable[Sequence[Posed]], settings: Train) -> Views:
    """The views of each row, padded to the largest number of them; keypoints are where they are in the squares that
    the photos become."""
    rows = list(views)
    if not any(rows):
        return Views.none(len(rows))
    sizes = [torch.tensor([(view.width, view.height) for view in row]).float().reshape(-1, 2) for row in rows]
    points = [_points(row) for row in rows]
    for positions, photo_sizes in zip(points, sizes, strict=True):
        positions[..., :2] /= photo_sizes[:, None]
    confidence = [pose_confidence(row, settings.min_keypoint_confidence, settings.keypoints) for row in points]
    located = [in_squares(*row, settings.view_fit) for row in zip(points, sizes, strict=True)]
    return Views(_pad([places for places, _ in located]), _pad([sides for _, sides in located], 1.0), _pad(confidence))


def mean_of_photos(values: Tensor) -> Tensor:
    """The mean of what photos (P, …) give, in float32, without those that give zeros, because they show no face."""
    values = values.float()
    given = values.flatten(1).any(dim=1)
    return values[given].mean(0) if given.any() else values[0]


def without_photos(batch: Batch, features: Iterable[Feature]) -> Batch:
    """The batch without photos of the people: references of zeros, and no views."""
    roles = {name: feature.role for feature in features for name in feature.dtypes}
    kept = dict(batch.features)
    for name, values in batch.features.items():
        if roles[name] != "target":
            kept[name] = torch.zeros_like(values[:, :1] if roles[name] == "view" else values)
    return replace(batch, features=kept, views=Views.none(len(batch)))


def _names(cache: FeatureCache, role: Role) -> list[str]:
    return [name for feature in cache.features.values() if feature.role == role for name in feature.dtypes]


def _stack(cache: FeatureCache, samples: list[Sample], names: list[str]) -> dict[str, Tensor]:
    rows = [cache.read(sample, *names) for sample in samples]
    return {name: torch.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _pad(rows: list[Tensor], value: float = 0.0) -> Tensor:
    return pad_sequence(rows, batch_first=True, padding_value=value)


def _points(photos: Sequence[Posed]) -> Tensor:
    """Keypoints (P, 17, 3) in pixels."""
    points = np.array([photo.keypoints for photo in photos], dtype=np.float32)
    return torch.from_numpy(points.reshape(-1, 17, 3))

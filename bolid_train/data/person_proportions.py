"""The proportions of a dataset's people, measured robustly on all their photos, for the losses that compare bodies.

A photo's proportions are lengths in units of the trunk. A trunk that leans towards the camera or away from it is short
on the photo, and every limb is then long in its units; one that is turned has narrow shoulders and hips. Such photos
weigh less, and a person's proportion is the weighted median over photos: not their mean, which one bad detection
shifts, and not the largest, which would be that of the shortest trunk.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bolid_train.data.proportions import SPREAD, proportions, trunk_ratios
from bolid_train.data.shard_dataset import People, Sample

_TYPICAL = (-3.0, -0.6, -1.3, -0.9, -1.1, -0.6, -0.6)
"""Log proportions of the average human, for a dataset in which one is nowhere visible."""
_PRIOR_WEIGHT = 20
"""Photos that `SPREAD` counts as: a dataset of a few photos says little of the errors of its keypoints."""
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class PersonProportions:
    """Log proportions of the people of a batch, and by how much a photo's usually differ from them."""

    person: Tensor  # (B, 7), NaN where they are not visible on any photo
    typical: Tensor  # (B, 7): the median over the dataset's people, the same in every row
    spread: Tensor  # (B, 7): the standard deviation among photos of one person, the same in every row


class ProportionStatistics:
    """The proportions of each of a dataset's people, of a typical one, and their spread among photos of one person."""

    def __init__(self, people: People) -> None:
        weights = _trunk_weights(people)
        measured = {person: _measure(photos) for person, photos in people.items()}
        self._people = {person: _weighted_medians(values, weights[person]) for person, values in measured.items()}
        medians = _medians(np.stack(list(self._people.values())))
        self.typical = torch.from_numpy(np.where(np.isnan(medians), _TYPICAL, medians)).float()
        self.spread = torch.from_numpy(_spread(measured, self._people)).float()

    def of(self, people: Sequence[str]) -> PersonProportions:
        """The proportions of these people, each of whom is one of the dataset's."""
        rows = torch.from_numpy(np.stack([self._people[person] for person in people])).float()
        return PersonProportions(rows, self.typical.expand_as(rows), self.spread.expand_as(rows))


Values = NDArray[np.float64]


def _measure(photos: Sequence[Sample]) -> Values:
    """Log proportions (P, 7)."""
    return proportions(_keypoints(photos)).double().numpy()


def _keypoints(photos: Sequence[Sample]) -> Tensor:
    return torch.tensor([photo.keypoints for photo in photos]).reshape(-1, 17, 3)


def _trunk_weights(people: People) -> dict[str, Values]:
    """The weight (P,) of each person's photos: 1 if the trunk is at least as long and as wide as on the median photo,
    and less with the square of what it lacks of either."""
    ratios = {person: trunk_ratios(_keypoints(photos)).double().numpy() for person, photos in people.items()}
    median = _medians(np.concatenate(list(ratios.values())))
    return {person: np.exp(2 * np.minimum(values - median, 0).sum(axis=1)) for person, values in ratios.items()}


def _weighted_medians(values: Values, weights: Values) -> Values:
    """Medians (7,) of values (P, 7), of which some are NaN; NaN if all are, or have no weight."""
    medians = np.full(values.shape[1], np.nan)
    for column in range(values.shape[1]):
        kept = ~np.isnan(values[:, column]) & (weights > 0)
        if kept.any():
            order = np.argsort(values[kept, column])
            ordered, shares = values[kept, column][order], weights[kept][order]
            # A value is at the middle of its share, so that the median of two equal ones is their mean.
            medians[column] = np.interp(0.5, (shares.cumsum() - shares / 2) / shares.sum(), ordered)
    return medians


def _medians(values: Values) -> Values:
    """Medians (D,) of values (N, D) that are not NaN; NaN for a column without any."""
    columns = [column[~np.isnan(column)] for column in values.T]
    return np.array([np.median(column) if len(column) else np.nan for column in columns])


def _spread(measured: Mapping[str, Values], people: Mapping[str, Values]) -> Values:
    """Standard deviations (7,) of a photo's proportions from its person's, by the median of absolute differences.

    They are at least `SPREAD`, which is that of upright people: a dataset's keypoints may be more exact, but those
    that a detector finds on generated images are not.
    """
    deviations: list[list[Values]] = [[] for _ in SPREAD]
    for person, values in measured.items():
        for column, of_column in enumerate(deviations):
            differences = values[:, column] - people[person][column]
            differences = np.abs(differences[~np.isnan(differences)])
            if len(differences) > 1:  # the median follows the photos that it is of
                of_column.append(differences * math.sqrt(len(differences) / (len(differences) - 1)))
    spread = np.log(SPREAD)
    for column, of_column in enumerate(deviations):
        differences = np.concatenate([*of_column, []])
        if len(differences) and (median := float(np.median(differences))) > 0:
            share = len(differences) / (len(differences) + _PRIOR_WEIGHT)
            spread[column] += share * (math.log(_MAD_TO_DEVIATION * median) - spread[column])
    return np.maximum(np.exp(spread), SPREAD)

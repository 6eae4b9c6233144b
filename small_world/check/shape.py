"""How well the shape judges read bodies from one picture and from eight, on people never seen."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bolid_train.embedded.shape import SHAPE, ShapeNetwork, agreement, load_shape_judge, together
from small_world.body_shape import shape_of, standardized, unstandardized
from small_world.check.body import auc
from small_world.pixels import pixels
from small_world.training.corpus_file import PackedPhotos
from small_world.worlds import WORLD_3D, World

_BATCH = 200
_STATURE = 170.0  # cm, of the person whose shares of the stature are given in cm
_ATTRIBUTES = ("facing", "framing")


@dataclass(frozen=True)
class Judged:
    """What is read of N bodies, and their truth: (N, SHAPE) each, in standard deviations from the mean adult."""

    mean: Tensor
    variance: Tensor
    truth: Tensor

    def explained(self) -> Tensor:
        """R² (SHAPE,): share of the variance among these bodies that is read."""
        return 1 - (self.mean - self.truth).square().mean(0) / self.truth.var(0, correction=0)


def check(world: World = WORLD_3D) -> dict[str, float]:
    """The figures of both judges on photos and on drawings; in detail on what they were trained for."""
    measured: dict[str, float] = {}
    for split in ("held_out", "second_renderer"):
        photos = world.draw(split)
        for name, own in (("tiny-shape", "held_out"), ("tiny-shape-lines", "second_renderer")):
            judged = read(load_shape_judge(world.model(name)), photos)
            of_judge = figures(judged, photos) | (details(judged, world, photos) if split == own else {})
            words = f"{world.model(name)}, {split.replace('_', ' ')}"
            measured |= {f"{words}: {key}": value for key, value in of_judge.items()}
    return measured


def figures(single: Judged, photos: PackedPhotos) -> dict[str, float]:
    """Of what is read of photos of people, each of whom has equally many: R², how true the uncertainty is, and areas
    under the ROC curve (AUC) of verification."""
    people = torch.from_numpy(photos.people)
    count, half = _photos_each(photos), _photos_each(photos) // 2
    measured: dict[str, float] = {}
    for words, judged in _one_and_all(single, count).items():
        measured[f"R² of all values, {words}"] = float(judged.explained().mean())
        away = (judged.mean - judged.truth).abs() / judged.variance.sqrt()
        measured[f"errors within one deviation told, {words} (true: 0.683)"] = float((away < 1).float().mean())
    measured["AUC, one photo against one"] = auc(likeness(single), people)
    measured[f"AUC, {half} photos against {half}"] = auc(likeness(combined(single, half)), people[::half])
    return measured


def details(single: Judged, world: World, photos: PackedPhotos) -> dict[str, float]:
    """Errors, beside those of guessing the mean adult, and R² of each value; R² by what a photo shows."""
    nothing = Judged(torch.zeros_like(single.mean), torch.ones_like(single.mean), single.truth)
    measured = errors(nothing, "no photo")
    for words, judged in _one_and_all(single, _photos_each(photos)).items():
        measured |= errors(judged, words)
        measured |= {f"R² of {value}, {words}": float(r2) for value, r2 in zip(SHAPE, judged.explained(), strict=True)}
    left = (single.mean - single.truth).square() / single.truth.var(0, correction=0)
    for attribute in _ATTRIBUTES:
        labels = photos.labels[:, world.attributes.index(attribute)]
        for label in np.unique(labels):
            rows = torch.from_numpy(labels == label)
            measured[f"R² of all values, one photo {world.words[attribute][label]}"] = float(1 - left[rows].mean())
    return measured


def _photos_each(photos: PackedPhotos) -> int:
    return int((photos.people == photos.people[0]).sum())


def _one_and_all(single: Judged, count: int) -> dict[str, Judged]:
    return {"one photo": single, f"{count} photos": combined(single, count)}


@torch.no_grad()
def read(judge: ShapeNetwork, photos: PackedPhotos) -> Judged:
    """What the judge reads of each photo."""
    parts = [judge(pixels(photos, rows)) for rows in torch.arange(len(photos)).split(_BATCH)]
    mean, variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return Judged(mean, variance, torch.from_numpy(standardized(shape_of(photos.measures))).float())


def combined(single: Judged, count: int) -> Judged:
    """The same of every `count` photos in a row together, which have to be of one person."""
    mean, variance, truth = (
        values.unflatten(0, (-1, count)).transpose(0, 1) for values in (single.mean, single.variance, single.truth)
    )
    means = single.mean.unflatten(0, (-1, count))
    return Judged(*together(mean, variance, agreement(means) if count > 1 else torch.ones(len(SHAPE))), truth[0])


def errors(judged: Judged, words: str) -> dict[str, float]:
    """Mean errors in percent of the true value, and in its unit for a stature of 170 cm."""
    read_values, truth = (unstandardized(values.double().numpy()) for values in (judged.mean, judged.truth))
    away = np.abs(read_values - truth)
    measured: dict[str, float] = {}
    for value, share, error in zip(SHAPE, (away / truth).mean(0), away.mean(0), strict=True):
        unit, scale = ("kg/m²", 1.0) if value == "BMI" else ("cm", _STATURE)
        measured[f"error of {value}, {words}, %"] = 100 * float(share)
        measured[f"error of {value}, {words}, {unit}"] = scale * float(error)
    return measured


def likeness(judged: Judged) -> Tensor:
    """(N, N) for every two of N: logarithm of how much likelier what is read of them is if they are one body than if
    they are two adults (a likelihood ratio, as in PLDA, Ioffe 2006). The values count as independent."""
    precision, weighted = 1 / judged.variance, judged.mean / judged.variance
    one = (precision.log() - weighted * judged.mean).sum(1)
    both = precision[:, None] + precision - 1
    mean = (weighted[:, None] + weighted) / both
    return (mean.square() * both - both.log()).sum(2) + one[:, None] + one

"""Looks at a split's real photos once, then scores pictures against them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bolid_train.data.crops import crop
from bolid_train.data.proportions import mean_proportions
from bolid_train.data.shard_dataset import Sample, Shards
from bolid_train.evaluate import metrics
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.evaluators import Evaluators, Seen
from bolid_train.evaluate.painting import to_pixels

_PHOTOS, _PIXELS = 256, 2**24  # held in memory at once, at most


class Yardstick:
    """What is true of the people of the cases, by the evaluators' own reading of their photos: P people with Q prompts
    each; N = P · Q pictures, in the order of `Drawn`."""

    def __init__(self, evaluators: Evaluators, cases: Sequence[Case], shards: Shards, side: int, least: int) -> None:
        """`side`: pixels that photos are cropped to, as pictures are; `least`: joints without which nobody is seen."""
        self._evaluators, self._cases, self._least = evaluators, cases, least
        wanted = {photo.key: photo for case in cases for photo in (*case.photos, *case.prompts)}
        self._rows = {key: row for row, key in enumerate(wanted)}
        self._quality = evaluators.quality()
        parts = []
        for photos in _read(list(wanted.values()), shards, side):
            parts.append(evaluators.look(photos))
            self._quality.see(photos)
        self._photos = Seen.joined(parts)
        prompts = len(cases[0].prompts)

        self._bodies = torch.stack([self._of(case.others).bodies.mean(0) for case in cases])  # (P, D)
        views = torch.stack([self._of(case.views).bodies for case in cases])
        self.different, self.same = metrics.likeness_of_people(views, self._bodies)
        self._proportions = torch.cat([mean_proportions(self._of(case.photos).keypoints[None]) for case in cases])
        self.strangers = metrics.error_of_strangers(self._proportions)
        self._each = torch.arange(len(cases)).repeat_interleave(prompts)  # (N,): whose each picture is
        self._references = self._of([case.reference for case in cases]).rows(self._each)
        self._asked = self._of([prompt for case in cases for prompt in case.prompts]).clothes  # (N, G)
        texts = [prompt.caption for case in cases for prompt in case.prompts]
        with torch.inference_mode():
            self._texts = evaluators.clip.embed_texts(texts).cpu()

    def score(self, seen: Seen, bare: Seen) -> dict[str, Tensor]:
        """Metric → its value for each person (P,), the mean over the prompts; NaN where it cannot be told of a person.

        seen: what evaluators saw on N pictures; bare: on the base's own, of the same prompts and noise.
        """
        failed = metrics.failures(seen.keypoints, self._least)
        bodies, people = self._bodies[self._each], self._proportions[self._each]
        reference = self._references
        poses = [metrics.pose_likeness(by.keypoints, reference.keypoints) for by in (seen, bare, reference)]
        worn = [metrics.colours_worn(by.clothes, reference.clothes, self._asked) for by in (seen, bare)]
        scores = {
            "body_sim": metrics.body_sim(seen.bodies, bodies, failed, self.different, self.same),
            "limb_error": metrics.limb_error(seen.keypoints, people, failed, self.strangers),
            "clip_t": metrics.cosine(seen.clip, self._texts),
            "clip_i": metrics.cosine(seen.clip, bare.clip),
            "pose_copy": metrics.pose_copy(poses[0], poses[1], poses[2], failed),
            "clothes_leak": metrics.clothes_leak(worn[0], worn[1]),
            "failures": 100 * failed.float(),
        }
        return {name: self.by_person(values) for name, values in scores.items()}

    def quality(self, pictures: Tensor) -> dict[str, dict[str, Any]]:
        """Metric → its value for all pictures together, as `Quality.score` gives it, against all photos that the
        yardstick was made of: the people's own, and those whose captions are the prompts.

        pictures: (N, 3, H, W) of all people, or (n · Q, 3, H, W) of n of them.
        """
        return self._quality.score(pictures, len(pictures) // len(self._cases[0].prompts))

    def by_person(self, values: Tensor) -> Tensor:
        """(N,) → (P,), the mean over the prompts."""
        return values.view(len(self._cases), -1).nanmean(1)

    def _of(self, photos: Iterable[Sample]) -> Seen:
        return self._photos.rows(torch.tensor([self._rows[photo.key] for photo in photos]))


def _read(photos: list[Sample], shards: Shards, side: int) -> Iterator[Tensor]:
    """The photos, cropped, (n, 3, side, side) at a time."""
    rows = max(1, min(_PHOTOS, _PIXELS // side**2))
    for start in range(0, len(photos), rows):
        cut = [crop(shards.photo(photo), photo.keypoints, (side, side))[0] for photo in photos[start : start + rows]]
        yield torch.stack([to_pixels(image) for image in cut])

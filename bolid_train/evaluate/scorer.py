"""Scores generated images against a split's real photos, which are evaluated once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from bolid_train.data.buckets import CropSettings, size_of
from bolid_train.data.crops import crop
from bolid_train.data.proportions import mean_proportions
from bolid_train.data.shard_dataset import Sample, ShardDataset
from bolid_train.evaluate import metrics
from bolid_train.evaluate.batching import batches
from bolid_train.evaluate.cases import Case
from bolid_train.evaluate.evaluators import EvaluatorOutputs, Evaluators
from bolid_train.evaluate.image_generator import to_pixels

_MAX_PHOTOS, _MAX_PIXELS = 256, 2**24  # in memory at once


class Scorer:
    """Scores images against the evaluators' outputs for the cases' photos: P people with Q prompts each; N = P · Q
    images, in the order of `GeneratedImages`."""

    def __init__(
        self,
        evaluators: Evaluators,
        cases: Sequence[Case],
        shards: ShardDataset,
        settings: CropSettings,
        min_keypoints: int,
    ) -> None:
        """`settings`: those with which the images are generated; each photo is cropped to the size at which it is
        trained with them. `min_keypoints`: visible joints of a person."""
        self._evaluators, self._cases, self._min_keypoints = evaluators, cases, min_keypoints
        samples = {photo.key: photo for case in cases for photo in (*case.photos, *case.prompts)}
        self._rows: dict[str, int] = {}
        self._quality = evaluators.quality()
        parts = []
        for photos, crops in _read(list(samples.values()), shards, settings):
            self._rows |= {photo.key: len(self._rows) + row for row, photo in enumerate(photos)}
            parts.append(evaluators.evaluate(crops))
            self._quality.add_photos(crops)
        self._photos = EvaluatorOutputs.joined(parts)
        prompts = len(cases[0].prompts)

        self._bodies = torch.stack([self._outputs(case.held_out).bodies.mean(0) for case in cases])  # (P, D)
        views = torch.stack([self._outputs(case.views).bodies for case in cases])
        self.different, self.same = metrics.reference_cosines(views, self._bodies)
        self._proportions = torch.cat([mean_proportions(self._outputs(case.photos).keypoints[None]) for case in cases])
        self.error_between_people = metrics.error_between_people(self._proportions)
        self._person = torch.arange(len(cases)).repeat_interleave(prompts)  # (N,): the person's number of each image
        self._references = self._outputs([case.reference for case in cases]).select(self._person)
        self._prompted_clothes = self._outputs([prompt for case in cases for prompt in case.prompts]).clothes  # (N, G)
        texts = [prompt.caption for case in cases for prompt in case.prompts]
        with torch.inference_mode():
            self._texts = evaluators.clip.embed_texts(texts).cpu()

    def score(self, outputs: EvaluatorOutputs, baseline: EvaluatorOutputs) -> dict[str, Tensor]:
        """Metric → its value for each person (P,), the mean over the prompts; NaN where it cannot be computed.

        outputs: for N images; baseline: for the base's images of the same prompts and noise.
        """
        failed = metrics.failures(outputs.keypoints, self._min_keypoints)
        bodies, people = self._bodies[self._person], self._proportions[self._person]
        reference = self._references
        poses = [metrics.pose_similarity(one.keypoints, reference.keypoints) for one in (outputs, baseline, reference)]
        colours = [
            metrics.reference_colour_share(one.clothes, reference.clothes, self._prompted_clothes)
            for one in (outputs, baseline)
        ]
        scores = {
            "body_sim": metrics.body_sim(outputs.bodies, bodies, failed, self.different, self.same),
            "limb_error": metrics.limb_error(outputs.keypoints, people, failed, self.error_between_people),
            "clip_t": metrics.cosine(outputs.clip, self._texts),
            "clip_i": metrics.cosine(outputs.clip, baseline.clip),
            "pose_copy": metrics.pose_copy(poses[0], poses[1], poses[2], failed),
            "clothes_leak": metrics.clothes_leak(colours[0], colours[1]),
            "failures": 100 * failed.float(),
        }
        return {name: self.by_person(values) for name, values in scores.items()}

    def quality(self, images: Sequence[Tensor]) -> dict[str, dict[str, Any]]:
        """Metric → its value for all images together, from `Quality.score`, against all photos of the cases: the
        people's, and those whose captions are the prompts.

        images: N of (3, H, W), those of all people, or n · Q, those of n of them.
        """
        return self._quality.score(images, len(images) // len(self._cases[0].prompts))

    def by_person(self, values: Tensor) -> Tensor:
        """(N,) → (P,), the mean over the prompts."""
        return values.view(len(self._cases), -1).nanmean(1)

    def _outputs(self, photos: Iterable[Sample]) -> EvaluatorOutputs:
        return self._photos.select(torch.tensor([self._rows[photo.key] for photo in photos]))


def _read(
    photos: Sequence[Sample], shards: ShardDataset, settings: CropSettings
) -> Iterator[tuple[list[Sample], list[Tensor]]]:
    """The photos and their crops (3, H, W), in batches of one size."""
    sizes = [size_of(photo, settings) for photo in photos]
    for numbers in batches(sizes, _MAX_PHOTOS, _MAX_PIXELS):
        batch, size = [photos[number] for number in numbers], sizes[numbers[0]]
        yield batch, [to_pixels(crop(shards.photo(photo), photo.keypoints, size)[0]) for photo in batch]

"""Quality of all generated images together: their distance from real photos, and their clarity and variety.

Fréchet distance (Heusel et al. 2017, equation 6): ‖μ − μ_r‖² + tr(Σ + Σ_r − 2 (Σ Σ_r)^½) between normal distributions
of features. Inception score (Salimans et al. 2016): exp E KL(p(y|x) ‖ p(y)), in one split, since there are few
images. torchmetrics computes both, from features that are computed once per image.

Both networks resize every image to a square without regard to its aspect ratio, as FID is defined. Photos are cropped
to the sizes at which images are generated, so they are distorted in the same way as the images.

The table has 256 images of 64 people: enough for a covariance of the small network's 54 features, while one of
Inception's 2048 is singular. With so few images the distance is biased upwards, more so for wider features (Chong and
Forsyth 2020), so only rows with the same number of images can be compared.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from bolid_data.errors import BolidError
from bolid_data.weights import file_sha256
from bolid_train.embedded.attributes import AttributeClassifier
from bolid_train.evaluate.batching import batches, image_size

BatchFunction = Callable[[Tensor], Sequence[Tensor]]
"""Images (B, 3, H, W) in -1..1 to tensors whose first dimension is B."""


@torch.inference_mode()
def batched_inference(images: Sequence[Tensor], function: BatchFunction, device: torch.device) -> list[Tensor]:
    """Applies `function` to N images (3, H, W) of any sizes, batch by batch on `device`: its tensors, N rows each in
    the order of the images, on the CPU."""
    numbers: list[int] = []
    parts: list[list[Tensor]] = []
    for batch in batches([image_size(image) for image in images]):
        numbers += batch
        inputs = torch.stack([images[number] for number in batch]).to(device)
        parts.append([output.cpu() for output in function(inputs)])
    order = torch.tensor(numbers).argsort()
    return [torch.cat(outputs)[order] for outputs in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Realism:
    """A network, and the names of its two metrics.

    `network` maps images (N, 3, H, W) in -1..1 to features (N, D) and the logits (N, C) of one or more classifiers.
    """

    distance: str
    score: str
    network: BatchFunction


def small_realism(classifier: AttributeClassifier) -> Realism:
    """With a small world's attribute classifier; the metrics are therefore `fd_small` and `is_small`, not FID.

    The classifiers are those of its attributes. Features are the 256-wide layer before them, projected to the
    directions that the predictions depend on (54 in the flat world), so that there are fewer features than images, and
    none that no attribute uses.
    """
    weights = [head.get_parameter("weight") for head in classifier.heads]
    # A shift common to all classes of an attribute does not change its prediction.
    centred = torch.cat([weight - weight.mean(0) for weight in weights]).double().cpu()  # (classes, 256)
    rank = sum(len(weight) - 1 for weight in weights)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:rank].T.float().to(weights[0].device)

    def network(images: Tensor) -> Sequence[Tensor]:
        features = classifier.encoder(images)
        return features @ directions, *(head(features) for head in classifier.heads)

    return Realism("fd_small", "is_small", network)


def inception_realism(device: torch.device) -> Realism:
    """With the Inception that defines FID, in torch-fidelity's port, which resizes like the original: 2048 features and
    1008 classes without bias.

    Raises BolidError if its weights are unavailable or differ.
    """
    return Realism("fid", "is", with_bytes(load_inception(_weights_file()).to(device)))


def load_inception(path: Path) -> nn.Module:
    """Inception with the weights in that file. Raises BolidError for any other file."""
    try:
        torch.load(path, weights_only=True, mmap=True)  # checked first, because torch-fidelity unpickles anything
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
    except Exception as error:  # unpickling and loading raise anything for other files
        reason = (str(error).splitlines() or [""])[0]
        raise BolidError(
            f"{path} is not an Inception network ({reason}); remove it, and it is fetched again"
        ) from error


def with_bytes(inception: nn.Module) -> BatchFunction:
    """Feeds images in -1..1 to the network as bytes in 0..255, like those of an image file."""
    return lambda images: inception(((images.clamp(-1, 1) + 1) * 127.5).round().byte())


def _weights_file() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(URL_INCEPTION_V3).path).name
    sha256 = path.stem.rpartition("-")[2]  # its first digits are in the name of torch.hub's files
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=sha256, progress=False)
        except (OSError, RuntimeError) as error:
            raise BolidError(
                f"Inception's weights, for fid and is, are not at {path} and could not be fetched ({error}); put "
                f"{URL_INCEPTION_V3} there"
            ) from error
    if not file_sha256(path).startswith(sha256):
        raise BolidError(f"{path} is not the Inception of FID (its sha256 differs); remove it, and it is fetched again")
    return path


class Quality:
    """Both metrics of images, with one network, against the photos added to it."""

    def __init__(self, realism: Realism, device: torch.device) -> None:
        self._realism, self._device = realism, device
        self._photos: list[Tensor] = []

    def add_photos(self, photos: Sequence[Tensor]) -> None:
        """Adds real photos (3, H, W) in -1..1."""
        self._photos.append(self._apply(photos)[0])

    def score(self, images: Sequence[Tensor], people: int) -> dict[str, dict[str, Any]]:
        """Metric → its value (`mean`), 95 % interval (`low`, `high`) and `people`.

        images: N of (3, H, W) in -1..1, equally many of each person, grouped by person.

        The interval is the value ± 1.96 standard errors, by the jackknife that leaves out one person at a time (Efron
        and Stein 1981); the photos do not change. The bootstrap does not suit distances: it samples some images
        twice, and fewer distinct images are always more distant. None if fewer than two images would be left.
        """
        features, *logits = self._apply(images)
        photos = torch.cat(self._photos)
        kept = _without_each(people, len(images) // people)
        # Dimensions outside the images' span contribute equally with and without a person, so the differences, from
        # which the error is computed, are exact within the span: Inception's 2048 dimensions become N.
        span = torch.linalg.qr(features.T).Q
        distance, distance_in_span = distance_from(photos), distance_from(photos @ span)
        distances = [distance_in_span(features[rows] @ span) for rows in kept]
        scores = [inception_score([choice[rows] for choice in logits]) for rows in kept]
        return {
            self._realism.distance: _interval(distance(features), distances, people),
            self._realism.score: _interval(inception_score(logits), scores, people),
        }

    def _apply(self, images: Sequence[Tensor]) -> list[Tensor]:
        return [output.double() for output in batched_inference(images, self._realism.network, self._device)]


def distance_from(photos: Tensor) -> Callable[[Tensor], float]:
    """Photos' features (M, D) → the Fréchet distance of images' features (N, D) from them."""
    metric = FrechetInceptionDistance(_Identity(photos.shape[1]), reset_real_features=False)
    metric.update(photos, real=True)

    def distance(features: Tensor) -> float:
        metric.reset()
        metric.update(features, real=False)
        return float(metric.compute())

    return distance


def inception_score(logits: Sequence[Tensor]) -> float:
    """Logits (N, C) of one or more independent classifiers → the geometric mean of their scores: 1 to C."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # about memory use, and the missing deviation of a single split
        torch.manual_seed(0)  # it shuffles, which changes the last digits of sums
        metric, scores = InceptionScore(nn.Identity(), splits=1), []
        for choice in logits:
            metric.reset()
            metric.update(choice)
            scores.append(float(metric.compute()[0]))
    return math.prod(scores) ** (1 / len(scores))


class _Identity(nn.Module):
    """Replaces the network that torchmetrics expects, since the metric gets features instead of images."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _without_each(people: int, each: int) -> list[Tensor]:
    """The rows of all other people's images, for each person; empty if fewer than two rows would be left."""
    rows = torch.arange(people * each)
    return [rows[rows // each != person] for person in range(people)] if (people - 1) * each >= 2 else []


def _interval(value: float, jackknife: Sequence[float], people: int) -> dict[str, Any]:
    if not jackknife:
        return {"mean": value, "low": None, "high": None, "people": people}
    values = torch.tensor(jackknife, dtype=torch.float64)
    error = math.sqrt((people - 1) * values.var(correction=0).item())
    return {"mean": value, "low": value - 1.96 * error, "high": value + 1.96 * error, "people": people}

"""How far drawn pictures are from real photos, and how sure and varied: of all pictures together, not of each.

Fréchet distance (Heusel et al. 2017, equation 6): ‖μ − μ_r‖² + tr(Σ + Σ_r − 2 (Σ Σ_r)^½) between normal distributions
of features. Inception score (Salimans et al. 2016): exp E KL(p(y|x) ‖ p(y)), in one split, for pictures are few.
Both are computed by torchmetrics, from features that are read once a picture.

The table has 256 pictures of 64 people: enough for a covariance of the stand-in's 54 features, while one of Inception's
2048 is singular. A distance from so few is too large, the more so the wider the features are (Chong and Forsyth 2020):
rows with the same number of pictures may be compared with each other, and with nothing else.
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
from bolid_train.embedded.backbone import resized

_ROWS, _PIXELS = 32, 2**22  # of a batch at most; some enlarge what they look at, so small pictures are bounded too

Reader = Callable[[Tensor], Sequence[Tensor]]
"""Pictures (B, 3, H, W) in -1..1 to what is seen on them: tensors whose first dimension is B."""


@torch.inference_mode()
def look(pictures: Tensor, read: Reader, device: torch.device) -> list[Tensor]:
    """What `read` sees on N pictures (N, 3, H, W), batch by batch on `device`: its tensors, N rows each, in memory."""
    rows = max(1, min(_ROWS, _PIXELS // pictures[0, 0].numel()))
    parts = [[seen.cpu() for seen in read(part.to(device))] for part in pictures.split(rows)]
    return [torch.cat(columns) for columns in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Realism:
    """A network, and what its two numbers are called.

    It reads pictures (N, 3, H, W) in -1..1 to features (N, D), and to logits (N, C) of one or several choices.
    """

    distance: str
    score: str
    read: Reader


def small_realism(classifier: AttributeClassifier) -> Realism:
    """By the small world's attribute classifier, so the numbers are `fd_small` and `is_small`, never FID.

    Its choices are the ten attributes. Features are its last layer before them, 256 wide, in the 54 directions that its
    answers depend on: so there are fewer of them than pictures, and what no attribute was ever read from is left out.
    """
    weights = [head.get_parameter("weight") for head in classifier.heads]
    # What all classes of an attribute share changes no answer.
    answers = torch.cat([weight - weight.mean(0) for weight in weights]).double().cpu()  # (64, 256), of rank 54
    rank = sum(len(weight) - 1 for weight in weights)
    directions = torch.linalg.svd(answers, full_matrices=False).Vh[:rank].T.float().to(weights[0].device)

    def read(pictures: Tensor) -> Sequence[Tensor]:
        features = classifier.encoder(resized(pictures))
        return features @ directions, *(head(features) for head in classifier.heads)

    return Realism("fd_small", "is_small", read)


def inception_realism(device: torch.device) -> Realism:
    """By the Inception that FID is defined with, in torch-fidelity's port, which resizes as the original does: 2048
    features, and 1008 classes without their bias.

    Raises BolidError where its weights are neither here nor to be had, or are others.
    """
    return Realism("fid", "is", read_by(load_inception(_weights_file()).to(device)))


def load_inception(path: Path) -> nn.Module:
    """The network with the weights in that file. Raises BolidError for a file that is none of it."""
    try:
        torch.load(path, weights_only=True, mmap=True)  # torch-fidelity would unpickle anything
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
    except Exception as error:  # what unpickles, and what looks for tensors, raise anything when fed other things
        reason = (str(error).splitlines() or [""])[0]
        raise BolidError(f"{path} holds no Inception ({reason}); remove it, and it is fetched again") from error


def read_by(inception: nn.Module) -> Reader:
    """Pictures in -1..1 are given to it as the bytes that a file would hold."""
    return lambda pictures: inception(((pictures.clamp(-1, 1) + 1) * 127.5).round().byte())


def _weights_file() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(URL_INCEPTION_V3).path).name
    sha256 = path.stem.rpartition("-")[2]  # its first digits, as files of torch.hub are named
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
    """Both numbers, by one network, against the photos that it was shown."""

    def __init__(self, network: Realism, device: torch.device) -> None:
        self._network, self._device = network, device
        self._photos: list[Tensor] = []

    def see(self, photos: Tensor) -> None:
        """Real photos (M, 3, H, W) in -1..1, in addition to those seen before."""
        self._photos.append(self._read(photos)[0])

    def score(self, pictures: Tensor, people: int) -> dict[str, dict[str, Any]]:
        """The network's names for the two → value (`mean`), the ends of its 95 % interval (`low`, `high`) and `people`.

        pictures: (N, 3, H, W) in -1..1, as many of each person, those of the first person first.

        The interval is the value ± 1.96 standard errors, by the jackknife that leaves out one person at a time (Efron
        and Stein 1981); the photos stay as they are. Bootstraps are not for distances: they draw some pictures twice,
        and fewer different pictures are always further away. None where fewer than two pictures would be left.
        """
        features, *logits = self._read(pictures)
        photos = torch.cat(self._photos)
        kept = _without_each(people, len(pictures) // people)
        # What lies outside the pictures' span adds the same with everyone and without anyone, so their differences, all
        # that the error is made of, are exact within it: two thousand dimensions of Inception become N.
        span = torch.linalg.qr(features.T).Q
        whole, within = distance_from(photos), distance_from(photos @ span)
        distances = [within(features[rows] @ span) for rows in kept]
        scores = [inception_score([each[rows] for each in logits]) for rows in kept]
        return {
            self._network.distance: _interval(whole(features), distances, people),
            self._network.score: _interval(inception_score(logits), scores, people),
        }

    def _read(self, pictures: Tensor) -> list[Tensor]:
        return [seen.double() for seen in look(pictures, self._network.read, self._device)]


def distance_from(photos: Tensor) -> Callable[[Tensor], float]:
    """Photos' features (M, D) → the Fréchet distance of pictures' features (N, D) from them."""
    metric = FrechetInceptionDistance(_AlreadyRead(photos.shape[1]), reset_real_features=False)
    metric.update(photos, real=True)

    def distance(features: Tensor) -> float:
        metric.reset()
        metric.update(features, real=False)
        return float(metric.compute())

    return distance


def inception_score(logits: Sequence[Tensor]) -> float:
    """Logits (N, C) of one or several independent choices → the score, the geometric mean over the choices: 1 to C."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # of memory, and that one split has no deviation
        torch.manual_seed(0)  # it shuffles: sums' last digits would change
        metric, scores = InceptionScore(nn.Identity(), splits=1), []
        for choice in logits:
            metric.reset()
            metric.update(choice)
            scores.append(float(metric.compute()[0]))
    return math.prod(scores) ** (1 / len(scores))


class _AlreadyRead(nn.Module):
    """Stands where torchmetrics expects the network, and gets features in place of pictures."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _without_each(people: int, each: int) -> list[Tensor]:
    """The pictures' rows without one person's, for each of the people; none where fewer than two rows are left."""
    rows = torch.arange(people * each)
    return [rows[rows // each != person] for person in range(people)] if (people - 1) * each >= 2 else []


def _interval(whole: float, without: Sequence[float], people: int) -> dict[str, Any]:
    if not without:
        return {"mean": whole, "low": None, "high": None, "people": people}
    values = torch.tensor(without, dtype=torch.float64)
    error = math.sqrt((people - 1) * values.var(correction=0).item())
    return {"mean": whole, "low": whole - 1.96 * error, "high": whole + 1.96 * error, "people": people}

"""The networks that tell how real and how varied pictures are: Inception, or what stands in for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from bolid_data.errors import BolidError
from bolid_data.weights import file_sha256
from bolid_train.embedded.attributes import AttributeClassifier
from bolid_train.embedded.backbone import resized
from bolid_train.evaluate.looking import Reader


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

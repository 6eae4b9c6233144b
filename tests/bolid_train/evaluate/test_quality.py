"""How far pictures are from photos, and how varied: what the numbers mean, and how sure they are."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from bolid_data.errors import BolidError
from bolid_train.embedded.attributes import load_attributes
from bolid_train.evaluate import quality
from bolid_train.evaluate.quality import Quality, Realism, distance_from, small_realism

CPU = torch.device("cpu")


class Reading(nn.Module):
    """One of what a network reads, as torchmetrics wants networks."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        return self.read(pictures)


def _as_pictures(features: Tensor) -> Tensor:
    """(N, D) → (N, 3, 1, D), which `PLAIN` reads back."""
    return features[:, None, None].expand(-1, 3, -1, -1)


def _first_channel(pictures: Tensor) -> Sequence[Tensor]:
    return pictures[:, 0, 0], pictures[:, 0, 0, :3]


PLAIN = Realism("distance", "variety", _first_channel)


def _quality(photos: Tensor) -> Quality:
    quality = Quality(PLAIN, CPU)
    quality.add_photos(_as_pictures(photos))
    return quality


def _pictures(count: int, seed: int) -> Tensor:
    """(N, 3, 64, 64): coloured patches."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return nn.functional.interpolate(coarse, size=64, mode="bilinear")


@pytest.mark.filterwarnings("ignore")  # of memory, and that one split has no deviation
def test_both_numbers_are_what_torchmetrics_makes_of_the_pictures() -> None:
    realism = small_realism(load_attributes())
    photos, pictures = _pictures(90, 0), _pictures(64, 1)
    quality = Quality(realism, CPU)
    quality.add_photos(photos[:50])
    quality.add_photos(photos[50:])
    found = quality.score(pictures, 16)
    assert found.keys() == {"fd_small", "is_small"}, "never FID: no Inception has looked"

    distance = FrechetInceptionDistance(Reading(lambda seen: realism.network(seen)[0]), True, True, (3, 64, 64))
    distance.set_dtype(torch.float64)
    distance.update(photos, real=True)
    distance.update(pictures, real=False)
    assert found["fd_small"]["mean"] == pytest.approx(float(distance.compute()), rel=1e-4)

    logarithms = []
    for choice in range(1, 11):
        score = InceptionScore(Reading(lambda seen, choice=choice: realism.network(seen)[choice]), splits=1)
        score.update(pictures)
        logarithms.append(math.log(score.compute()[0]))
    assert found["is_small"]["mean"] == pytest.approx(math.exp(sum(logarithms) / 10), rel=1e-4)


def test_the_distance_is_between_means_and_between_spreads() -> None:
    generator = torch.Generator().manual_seed(0)
    photos = torch.randn(300, 1, generator=generator).double()
    pictures = 3 * torch.randn(200, 1, generator=generator).double() + 2
    expected = (photos.mean() - pictures.mean()) ** 2 + (photos.std() - pictures.std()) ** 2
    assert distance_from(photos)(pictures) == pytest.approx(float(expected), rel=1e-6)
    assert distance_from(photos)(photos) == pytest.approx(0, abs=1e-6)


def test_variety_is_one_for_pictures_all_alike_and_the_number_of_classes_for_all_of_them() -> None:
    quality = _quality(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    alike = quality.score(_as_pictures(torch.tensor([[9.0, 0.0, 0.0]]).expand(12, 3)), 3)
    assert alike["variety"]["mean"] == pytest.approx(1, abs=1e-6)
    sure = quality.score(_as_pictures(50 * torch.eye(3).repeat(4, 1)), 4)
    assert sure["variety"]["mean"] == pytest.approx(3, abs=1e-3)
    assert sure["variety"]["people"] == 4


def test_the_interval_is_as_wide_as_other_people_would_change_the_value() -> None:
    generator = torch.Generator().manual_seed(0)
    quality = _quality(torch.randn(400, 5, generator=generator))
    found = []
    for _ in range(30):
        people = torch.randn(16, 1, 5, generator=generator) + 0.4
        photos = people + 0.7 * torch.randn(16, 4, 5, generator=generator)  # of one person, alike
        found.append(quality.score(_as_pictures(photos.flatten(0, 1)), 16))
    for name in ("distance", "variety"):
        values = torch.tensor([each[name]["mean"] for each in found])
        widths = torch.tensor([each[name]["high"] - each[name]["low"] for each in found])
        assert float(widths.mean() / (2 * 1.96)) == pytest.approx(float(values.std()), rel=0.3)


def test_with_more_features_than_pictures_the_interval_is_still_that_of_all_features() -> None:
    generator = torch.Generator().manual_seed(0)
    photos, pictures = (torch.randn(count, 60, generator=generator).double() for count in (100, 20))
    distance = distance_from(photos)
    rows = torch.arange(20)
    without = torch.tensor([distance(pictures[rows // 4 != person]) for person in range(5)])
    error = math.sqrt(4 / 5 * float((without - without.mean()).square().sum()))
    found = _quality(photos).score(_as_pictures(pictures), 5)["distance"]
    assert found["high"] - found["mean"] == pytest.approx(1.96 * error, rel=1e-4)
    assert found["mean"] == pytest.approx(distance(pictures), rel=1e-6)


def test_of_one_person_there_is_a_value_and_no_interval() -> None:
    quality = _quality(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    found = quality.score(_as_pictures(torch.randn(4, 3, generator=torch.Generator().manual_seed(1))), 1)["distance"]
    assert found["mean"] > 0
    assert (found["low"], found["high"], found["people"]) == (None, None, 1)


def test_the_answers_of_the_stand_in_follow_from_its_fewer_features() -> None:
    attributes = load_attributes()
    features, *logits = small_realism(attributes).network(_pictures(200, 2))
    assert features.shape == (200, 54)
    inputs = torch.cat([features, torch.ones(200, 1)], dim=1)
    for said in logits:
        centred = said - said.mean(1, keepdim=True)
        answers = torch.linalg.lstsq(inputs[:100], centred[:100]).solution
        assert torch.allclose(inputs[100:] @ answers, centred[100:], atol=1e-2), "linear in them, on other pictures too"


def test_inceptions_weights_that_are_nowhere_are_asked_for_by_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(BolidError, match=r"Inception's weights.* are not at .*could not be fetched.*put https://"):
        quality.inception_realism(CPU)


def test_another_file_is_not_taken_for_inception(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / Path(quality.URL_INCEPTION_V3).name
    path.parent.mkdir(parents=True)
    torch.save({"network": Reading(print)}, path)
    with pytest.raises(BolidError, match="not the Inception of FID"):
        quality.inception_realism(CPU)
    with pytest.raises(BolidError, match=r"is not an Inception network .*[Ww]eights"):
        quality.load_inception(path)  # not unpickled either

"""Watermark classifiers by name give the same as their authors' code, on randomly initialised copies of it."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision import transforms

from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.watermark_hub import SIDE, HubWatermarkMeasurer, convnext, efficientnet
from bolid_data.errors import BolidError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:Mapping deprecated model name")  # the name in LAION's code

CONVNEXT, LAION = "convnext-tiny_watermarks_detector.pth", "watermark_model_v1.pt"
SIZES = [(300, 400), (256, 256), (31, 900), (900, 31)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the compiled networks of tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class _ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        deviation = ((x - mean).pow(2).mean(1, keepdim=True) + self.eps).sqrt()
        return self.weight[:, None, None] * ((x - mean) / deviation) + self.bias[:, None, None]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class _MetaConvNeXt(nn.Module):
    """ConvNeXt-tiny (Liu et al., A ConvNet for the 2020s, 2022) with Meta's names, and boomb0om's head."""

    def __init__(self) -> None:
        super().__init__()
        widths, depths = (96, 192, 384, 768), (3, 3, 9, 3)
        stem = nn.Sequential(nn.Conv2d(3, 96, 4, stride=4), _ChannelNorm(96, eps=1e-6))
        shrink = [nn.Sequential(_ChannelNorm(a, eps=1e-6), nn.Conv2d(a, b, 2, stride=2)) for a, b in pairwise(widths)]
        self.downsample_layers = nn.ModuleList([stem, *shrink])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth))) for width, depth in zip(widths, depths, strict=True)
        )
        self.norm = nn.LayerNorm(768, eps=1e-6)
        self.head = nn.Sequential(nn.Linear(768, 512), nn.GELU(), nn.Linear(512, 256), nn.GELU(), nn.Linear(256, 2))

    def forward(self, x: Tensor) -> Tensor:
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(shrink(x))
        return self.head(self.norm(x.mean((-2, -1))))


def laion() -> nn.Module:
    network = timm.create_model("efficientnet_b3a", num_classes=2)
    network.classifier = nn.Sequential(
        nn.Linear(in_features=1536, out_features=625),
        nn.ReLU(),
        nn.Dropout(p=0.3),
        nn.Linear(in_features=625, out_features=256),
        nn.ReLU(),
        nn.Linear(in_features=256, out_features=2),
    )
    return network


def randomise(network: nn.Module) -> nn.Module:
    """Randomises every tensor, norms and gains too, so that exchanging any two of one shape changes the logits."""
    torch.manual_seed(4)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.normal_(parameter, float(name.endswith(("weight", "gamma"))), 0.1)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.9, 1.1)
    return network.eval()


OURS = {CONVNEXT: convnext, LAION: efficientnet}
ORIGINALS: dict[str, tuple[Callable[[], nn.Module], int]] = {CONVNEXT: (_MetaConvNeXt, 1), LAION: (laion, 0)}


@pytest.fixture(scope="module", params=sorted(ORIGINALS))
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, int, Path]:
    """A network in its authors' layout, which class is the watermark, and the file of its tensors."""
    build, watermark = ORIGINALS[request.param]
    network = randomise(build())
    path = tmp_path_factory.mktemp("watermark") / request.param
    torch.save(network.state_dict(), path)
    return network, watermark, path


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (h // 8 + 1, w // 8 + 1, 3), dtype=np.uint8)) for w, h in SIZES]
    return [Photo(str(i), image.resize(SIZES[i])) for i, image in enumerate(noise)]


def test_logits_are_the_originals(original: tuple[nn.Module, int, Path]) -> None:
    network, _, path = original
    images = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, logits = network(images), OURS[path.name](path)(images)
    assert (expected[0] - expected[1]).abs().max() > 1e-2  # the random network distinguishes photos
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def measured(
    original: tuple[nn.Module, int, Path], photos: list[Photo]
) -> tuple[HubWatermarkMeasurer, list[dict[str, Any]]]:
    measurer = HubWatermarkMeasurer(original[2].parent.name, original[2].parent.parent)
    return measurer, measurer.measure(photos)["watermarks"]


def test_the_probability_is_that_of_the_originals_watermark_class(
    original: tuple[nn.Module, int, Path],
    photos: list[Photo],
    measured: tuple[HubWatermarkMeasurer, list[dict[str, Any]]],
) -> None:
    network, watermark, _ = original
    original_transform = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.inference_mode():
        expected = network(torch.stack([original_transform(photo.image) for photo in photos])).softmax(1)[:, watermark]
    assert (expected - 0.5).abs().min() > 0.01  # so that the other class would fail
    assert [row["sha256"] for row in measured[1]] == [photo.sha256 for photo in photos]
    assert [row["probability"] for row in measured[1]] == pytest.approx(expected.tolist(), abs=2e-4)


def test_rows_do_not_depend_on_the_batch(
    photos: list[Photo], measured: tuple[HubWatermarkMeasurer, list[dict[str, Any]]]
) -> None:
    measurer, rows = measured
    assert measurer.measure([photos[i] for i in (3, 0)])["watermarks"] == [rows[i] for i in (3, 0)]
    assert all(round(row["probability"], 4) == row["probability"] for row in rows)
    assert measurer.measure([]) == {"watermarks": []}


def test_the_two_files_are_two_models_to_the_catalog(
    original: tuple[nn.Module, int, Path], measured: tuple[HubWatermarkMeasurer, list[dict[str, Any]]]
) -> None:
    path, model = original[2], measured[0].model
    assert model.name == path.parent.name and path.name in model.config
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


class _Code:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_code_in_the_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(_Code(), tmp_path / CONVNEXT)
    with pytest.raises(BolidError, match="not the tensors of that watermark model"):
        HubWatermarkMeasurer(".", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_another_networks_tensors_are_refused(original: tuple[nn.Module, int, Path], tmp_path: Path) -> None:
    other = LAION if original[2].name == CONVNEXT else CONVNEXT
    (tmp_path / other).write_bytes(original[2].read_bytes())
    with pytest.raises(BolidError, match=rf"{other}: not the tensors of that watermark model"):
        HubWatermarkMeasurer(".", tmp_path)


def test_a_folder_without_such_a_file_names_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"no {CONVNEXT} or {LAION}"):
        HubWatermarkMeasurer(".", tmp_path)


def test_the_error_for_a_missing_hub_model_says_how_to_download_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BolidError, match=r"run `hf download boomb0om/watermark-detectors`.*local folder"):
        HubWatermarkMeasurer("boomb0om/watermark-detectors", tmp_path)

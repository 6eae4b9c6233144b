"""Which models judge, what they are shown, and what is said where one is missing."""

import json
from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf
from torch import Tensor

from bolid_data.errors import BolidError, UsageError
from bolid_data.weights import embedded_path
from bolid_train.data.crops import crop
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.evaluate import metrics
from bolid_train.evaluate.body_embedding import load_body_embedder, person_box
from bolid_train.evaluate.cases import choose_cases
from bolid_train.evaluate.evaluators import SMALL_WORLD, choose_evaluators, load_evaluators
from bolid_train.evaluate.image_generator import to_pixels
from bolid_train.evaluate.quality import batched_inference
from bolid_train.evaluate.scorer import Scorer
from bolid_train.evaluate.table import interval
from tests.support.drawn_shards import drawn_people, write_shards
from tests.support.small_base import small_base

CPU = torch.device("cpu")
SIDE = 96


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a timm model with random weights, as `timm` itself writes it."""
    folder = tmp_path_factory.mktemp("bodies")
    torch.manual_seed(0)
    save_for_hf(timm.create_model("test_vit"), folder, safe_serialization=True)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and nothing fetched before."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def _person(left: int, top: int, size: tuple[int, int], grey: float) -> tuple[Tensor, Tensor]:
    """A picture (3, H, W) of a figure of 30 × 60 pixels at that place, the rest grey, and its keypoints (17, 3)."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.full((3, *size), grey)
    # Joints lie so that the box around them, with its room, is the figure.
    picture[:, top : top + 60, left : left + 30] = torch.rand(3, 60, 30, generator=generator) * 2 - 1
    places = torch.rand(17, 2, generator=generator) * torch.tensor([10.0, 40.0])
    places[:2] = torch.tensor([[0.0, 0.0], [10.0, 40.0]])
    return picture, torch.cat([places + torch.tensor([left + 10.0, top + 10.0]), torch.ones(17, 1)], dim=1)


def test_a_model_that_is_not_there_is_named_with_the_command_that_gets_it(offline: None, bodies: Path) -> None:
    with pytest.raises(BolidError, match=r"hf download timm/vit_base_patch14_dinov2.lvd142m"):
        load_evaluators("photos")
    with pytest.raises(BolidError, match=r"hf download openai/clip-vit-base-patch32"):
        load_evaluators(f"photos,bodies={bodies}")
    with pytest.raises(BolidError, match=r"Inception's weights.*put https://"):
        load_evaluators(f"photos,bodies={bodies},clip={embedded_path('clip-1')}")


@pytest.mark.parametrize("name", ["magic", "photos,nose=x", "photos,clip=", "small-world,clip=x", ""])
def test_evaluators_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="there are small-world and photos"):
        load_evaluators(name)


def test_evaluators_follow_from_the_base_and_photos_are_not_judged_by_those_of_the_small_world(tmp_path: Path) -> None:
    small, large = Base.at("small", small_base()), Base.at("large", _large(tmp_path / "large"))
    assert choose_evaluators(small) == choose_evaluators(small, SMALL_WORLD) == SMALL_WORLD
    assert choose_evaluators(large) == choose_evaluators(large, "photos") == "photos"
    with pytest.raises(UsageError, match=r"trained on drawn people of 64 pixels, and the base 'large' .* of 1024"):
        choose_evaluators(large, SMALL_WORLD)


def _large(folder: Path) -> Path:
    """The configuration of a base for photos of 1024 pixels."""
    (folder / "image_encoder").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    for part, config in {"unet": {"sample_size": 128}, "vae": {"block_out_channels": [128, 256, 512, 512]}}.items():
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


def test_a_person_is_the_same_wherever_they_stand_and_whatever_is_around(bodies: Path) -> None:
    network = load_body_embedder(str(bodies), CPU)
    shown = [_person(20, 15, (100, 80), 0.0), _person(60, 90, (200, 150), -0.8), _person(60, 90, (200, 150), 0.9)]
    first, second, third = (network(picture[None], keypoints[None])[0] for picture, keypoints in shown)
    assert torch.allclose(first, second, atol=1e-4)
    assert torch.allclose(second, third, atol=1e-4)
    mirrored = network(shown[0][0].flip(2)[None], shown[0][1][None])[0]
    assert float(first @ mirrored) < 0.999
    assert float(first.norm()) == pytest.approx(1, abs=1e-5)


def test_the_box_holds_the_joints_that_are_seen_and_stays_on_the_picture() -> None:
    joints = torch.zeros(17, 3)
    assert person_box(joints, (80, 60)) == (0, 0, 80, 60), "nobody: the whole picture"
    joints[0] = torch.tensor([40.0, 10.0, 0.9])
    joints[1] = torch.tensor([40.0, 30.0, 0.9])
    joints[2] = torch.tensor([70.0, 55.0, 0.4])  # not sure enough
    assert person_box(joints, (80, 60)) == (36, 6, 44, 34)
    joints[1, 1] = 59.0
    assert person_box(joints, (80, 60)) == (30, 0, 50, 60)
    joints[:2, :2] += 500.0
    assert person_box(joints, (80, 60)) == (79, 59, 80, 60), "joints outside leave at least a pixel"


def test_a_folder_that_is_no_timm_model_is_refused(tmp_path: Path, bodies: Path) -> None:
    with pytest.raises(UsageError, match=r"not a timm model: .* has no model.safetensors"):
        (tmp_path / "config.json").write_text("{}")
        load_body_embedder(str(tmp_path), CPU)
    (tmp_path / "config.json").write_bytes((bodies / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(BolidError, match="cannot be loaded"):
        load_body_embedder(str(tmp_path), CPU)


def test_large_pictures_are_looked_at_a_few_at_a_time_and_all_are_seen() -> None:
    batches: list[int] = []

    def read(pictures: Tensor) -> list[Tensor]:
        batches.append(len(pictures))
        return [pictures[:, 0, 0, 0]]

    numbers = torch.arange(70.0)
    (seen,) = batched_inference(numbers[:, None, None, None].expand(-1, 3, 1024, 1024), read, CPU)
    assert seen.tolist() == numbers.tolist()
    assert max(batches) == 4
    batches.clear()
    (seen,) = batched_inference(numbers[:, None, None, None].expand(-1, 3, 64, 64), read, CPU)
    assert seen.tolist() == numbers.tolist()
    assert max(batches) > 4


def test_without_garments_the_leak_is_empty_and_breaks_nothing() -> None:
    none = torch.empty(6, 0, dtype=torch.long)
    worn = metrics.reference_colour_share(none, none, none)
    leak = interval(metrics.clothes_leak(worn, worn).view(3, 2).nanmean(1))
    assert leak == {"mean": None, "low": None, "high": None, "people": 0}


def test_the_peoples_own_photos_are_nearer_to_photos_than_noise_is(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", drawn_people({"anna": 4, "boris": 4, "clara": 4}, "val"))
    shards = ShardDataset(tmp_path / "shards")
    cases = choose_cases(shards.people("val"), seed=0, views=2, prompts=4)
    scorer = Scorer(load_evaluators(SMALL_WORLD), cases, shards, SIDE, min_keypoints=6)
    own = torch.stack(
        [
            to_pixels(crop(shards.photo(photo), photo.keypoints, (SIDE, SIDE))[0])
            for case in cases
            for photo in case.photos
        ]
    )
    noise = torch.rand(12, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mine, strange = scorer.quality(own)["fd_small"], scorer.quality(noise)["fd_small"]
    assert mine["mean"] < 1e-6 * strange["mean"], "the very photos that the scorer was made of"
    assert mine["people"] == 3
    assert scorer.quality(noise[:8])["fd_small"]["people"] == 2, "some of the people"

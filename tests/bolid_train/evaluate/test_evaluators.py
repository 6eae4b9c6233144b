"""Which models judge, what they are shown, and what is said where one is missing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import save_for_hf
from torch import Tensor

from bolid_data.errors import BolidError, UsageError
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from bolid_data.synthetic.pose import draw_pose
from bolid_data.weights import embedded_path
from bolid_train.data.crops import crop
from bolid_train.data.proportions import proportions
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.keypoints import load_keypoints
from bolid_train.evaluate import metrics
from bolid_train.evaluate.body_embedding import load_body_embedder, person_box
from bolid_train.evaluate.cases import choose_cases
from bolid_train.evaluate.evaluators import (
    SMALL_WORLD,
    SMALL_WORLD_3D,
    EvaluatorOutputs,
    choose_evaluators,
    load_evaluators,
)
from bolid_train.evaluate.image_generator import to_pixels
from bolid_train.evaluate.quality import batched_inference
from bolid_train.evaluate.scorer import Scorer
from bolid_train.evaluate.table import interval
from small_world.world.photos import draw_split
from small_world.world.splits import HELD_OUT
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards
from tests.support.small_base import small_base

CPU = torch.device("cpu")


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
    with pytest.raises(UsageError, match="there are small-world, small-world-3d and photos"):
        load_evaluators(name)


def test_evaluators_follow_from_the_base_and_those_of_a_small_world_judge_no_other_images(tmp_path: Path) -> None:
    flat, large = Base.at("flat", small_base()), Base.at("large", _base(tmp_path / "large", 128))
    small_3d = Base.at("small-3d", _base(tmp_path / "small-3d", 16))
    for base, name in ((flat, SMALL_WORLD), (small_3d, SMALL_WORLD_3D), (large, "photos")):
        assert choose_evaluators(base) == choose_evaluators(base, name) == name
    assert choose_evaluators(small_3d, "photos") == "photos"
    with pytest.raises(UsageError, match=r"trained on drawn people of 64 pixels, and the base 'large' .* of 1024"):
        choose_evaluators(large, SMALL_WORLD)
    with pytest.raises(UsageError, match=r"of 64 pixels, and the base 'small-3d' .* of 128; .* small-world-3d$"):
        choose_evaluators(small_3d, SMALL_WORLD)
    with pytest.raises(UsageError, match=r"of 128 pixels, and the base 'flat' .* of 64; .* small-world$"):
        choose_evaluators(flat, SMALL_WORLD_3D)


def _base(folder: Path, latent_side: int) -> Path:
    """The configuration of a base whose VAE has SDXL's eight pixels a latent."""
    (folder / "image_encoder").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    parts = {"unet": {"sample_size": latent_side}, "vae": {"block_out_channels": [128, 256, 512, 512]}}
    for part, config in parts.items():
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


@pytest.mark.parametrize("buckets", [False, True])
def test_the_peoples_own_photos_are_nearer_to_photos_than_noise_is(tmp_path: Path, buckets: bool) -> None:
    write_shards(tmp_path / "shards", drawn_people({"anna": 4, "boris": 4, "clara": 4}, "val"))
    shards, settings = ShardDataset(tmp_path / "shards"), write_manifest(tmp_path, resolution=96, buckets=buckets).train
    cases = choose_cases(shards.people("val"), seed=0, views=2, prompts=4)
    scorer = Scorer(load_evaluators(SMALL_WORLD), cases, shards, settings, min_keypoints=6)
    size = (80, 112) if buckets else (96, 96)
    own = [to_pixels(crop(shards.photo(photo), photo.keypoints, size)[0]) for case in cases for photo in case.photos]
    noise = [torch.rand(own[0].shape, generator=torch.Generator().manual_seed(number)) * 2 - 1 for number in range(12)]
    mine, strange = scorer.quality(own)["fd_small"], scorer.quality(noise)["fd_small"]
    assert mine["mean"] < 1e-6 * strange["mean"], "the very photos that the scorer was made of"
    assert mine["people"] == 3
    assert scorer.quality(noise[:8])["fd_small"]["people"] == 2, "some of the people"


@pytest.fixture(scope="module")
def standing() -> tuple[list[Tensor], Tensor]:
    """Photos (3, 64, 64) of two people of the small world who stand clear of the left and right edge, one person after
    the other, and the true keypoints (N, 17, 3)."""
    photos = draw_split(replace(HELD_OUT, people=2))
    seen = np.where(photos.keypoints[..., 2:] > 0, photos.keypoints[..., :2], np.nan)
    rows = np.flatnonzero((np.nanmin(seen[..., 0], 1) >= 16) & (np.nanmax(seen[..., 0], 1) <= 48))
    return [to_pixels(Image.fromarray(photos.images[row])) for row in rows], torch.from_numpy(photos.keypoints[rows])


def test_the_small_worlds_bodies_are_the_same_on_photos_of_any_shape(standing: tuple[list[Tensor], Tensor]) -> None:
    """A crop takes nothing of the person; the network that sees squares alone must not see it stretched."""
    photos, truth = standing
    assert len(photos) >= 8
    evaluators = load_evaluators(SMALL_WORLD)
    square, tall = evaluators.evaluate(photos), evaluators.evaluate([photo[:, :, 12:52] for photo in photos])
    seen = truth[..., 2] > 0
    offset = torch.tensor([12.0, 0.0])
    errors = [
        (found - points)[seen].norm(dim=1).median()
        for found, points in (
            (square.keypoints[..., :2], truth[..., :2]), (tall.keypoints[..., :2], truth[..., :2] - offset),
        )
    ]  # fmt: skip
    assert errors[1] < 1.2 * errors[0] + 0.1, "in pixels of the crop"
    assert float((square.bodies * tall.bodies).sum(1).mean()) > 0.97
    assert float(metrics.pose_similarity(tall.keypoints, square.keypoints).nanmean()) > 0.97
    assert float((proportions(tall.keypoints) - proportions(square.keypoints)).abs().nanmean()) < 0.03


def test_clip_sees_head_and_feet_on_a_tall_image(standing: tuple[list[Tensor], Tensor]) -> None:
    evaluators, tall = load_evaluators(SMALL_WORLD), standing[0][0][:, :, 12:52]
    beheaded, footless = tall.clone(), tall.clone()
    beheaded[:, :10], footless[:, -10:] = -1, -1
    seen = evaluators.evaluate([tall, beheaded, footless]).clip
    assert float((seen[0] @ seen[1:].T).max()) < 0.99


def test_what_is_measured_does_not_depend_on_which_images_are_measured_together(
    standing: tuple[list[Tensor], Tensor],
) -> None:
    photos = [
        photo[:, :, 12:52] if number % 3 == 0 else photo[:, 8:56] if number % 3 == 1 else photo
        for number, photo in enumerate(standing[0])
    ]
    evaluators = load_evaluators(SMALL_WORLD)
    together = evaluators.evaluate(photos)
    alone = EvaluatorOutputs.joined([evaluators.evaluate([photo]) for photo in photos])
    for name, values in vars(together).items():
        torch.testing.assert_close(values, vars(alone)[name], atol=1e-4, rtol=1e-4)
    quality, rows = evaluators.quality(), range(len(photos))
    quality.add_photos(photos[1:])
    found = quality.score([photos[row] for row in rows], 1)
    turned = quality.score([photos[row] for row in reversed(rows)], 1)
    for metric, values in found.items():
        assert values["mean"] == pytest.approx(turned[metric]["mean"], rel=1e-4)


def test_yolo_measures_in_pixels_on_photos_of_any_shape() -> None:
    """A tall photo, and the same in the middle of a wide one, which YOLO sees smaller."""
    pose = draw_pose(np.random.default_rng(2), "standing", "down")
    taken = take_photo([draw_person(0, 0)], 0, (300, 450), Shot("full", yaw=0, pose=pose))
    tall, detect = to_pixels(Image.fromarray(taken.image)), load_keypoints("yolo11n-pose")
    on_tall = detect(tall[None])
    on_wide = detect(torch.nn.functional.pad(tall, (200, 200, 0, 0), value=0.3)[None])
    seen = ((on_tall[0, :, 2] > 0.5) & (on_wide[0, :, 2] > 0.5)).nonzero()[:, 0]
    assert len(seen) >= 12
    for keypoints, left in ((on_tall, 0.0), (on_wide, 200.0)):
        error = keypoints[0, :, :2] - torch.tensor([left, 0.0]) - torch.tensor(taken.truth.people[0].keypoints)[:, :2]
        assert float(error[seen].norm(dim=1).median()) < 15, "of 450 pixels"
    assert float(metrics.pose_similarity(on_tall, on_wide)) > 0.9

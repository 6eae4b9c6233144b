"""Identity embeddings by tiny random networks in transformers' layout."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from bolid_data.catalog import Catalog
from bolid_data.curate.measurers.identity import Box, IdentityMeasurer, crop
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.errors import BolidError, UsageError
from bolid_data.records import Measurements, Model

POSE = Model("pose@1", "pose", "", "{}", "")
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
IMAGES = {"image_size": 32, "patch_size": 16}


def clip() -> CLIPModel:
    text = {**SMALL, "vocab_size": 8, "max_position_embeddings": 4, "eos_token_id": 1, "bos_token_id": 0}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=SMALL | IMAGES, projection_dim=12))


NETWORKS = {
    "clip": clip,
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SMALL, **IMAGES, mlp_ratio=1)),
    "vit": lambda: ViTModel(ViTConfig(**SMALL, **IMAGES)),
}


def save(kind: str, folder: Path) -> PreTrainedModel:
    torch.manual_seed(4)
    network = NETWORKS[kind]().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # with the default initialisation all embeddings are alike
    network.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    if kind == "clip":
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    else:
        ViTImageProcessor(size=size).save_pretrained(folder)
    return network


class Boxes:
    """The boxes of people, by photo."""

    def __init__(self, boxes: Mapping[str, Box]) -> None:
        self.boxes = boxes

    def __call__(self, sha256s: Sequence[str]) -> Mapping[str, Box]:
        return {sha256: self.boxes[sha256] for sha256 in sha256s if sha256 in self.boxes}


BOXES = Boxes({str(i): (10.4, 20.0, 60.0, 110.0 + i) for i in range(6)} | {"4": (0, 0, 100, 120)})


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (12, 10, 3), dtype=np.uint8) for _ in range(7)]
    return [Photo(str(i), Image.fromarray(noise).resize((100, 120))) for i, noise in enumerate(pixels)]


def measure(folder: Path, photos: Sequence[Photo]) -> list[dict[str, Any]]:
    return IdentityMeasurer(folder.name, folder.parent, "cpu", POSE, BOXES).measure(photos)["embeddings"]


def embedding(kind: str, network: PreTrainedModel, image: Image.Image) -> list[float]:
    """The network's embedding of an image of 32 × 32 pixels, computed directly."""
    mean, std = (np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711]))
    if kind != "clip":
        mean, std = np.full(3, 0.5), np.full(3, 0.5)
    pixels = torch.from_numpy(((np.asarray(image) / 255 - mean) / std).transpose(2, 0, 1)[None]).float()
    with torch.inference_mode():
        if kind == "clip":
            output = network.vision_model(pixel_values=pixels).pooler_output
            vector = network.visual_projection(output)[0]
        else:
            vector = network(pixel_values=pixels).pooler_output[0]
    return (vector / vector.norm()).tolist()


def test_weights_in_half_precision_alone_are_loaded(tmp_path: Path, photos: list[Photo]) -> None:
    save("vit", tmp_path / "vit")
    full = measure(tmp_path / "vit", photos)
    (tmp_path / "vit" / "model.safetensors").rename(tmp_path / "vit" / "model.fp16.safetensors")
    assert measure(tmp_path / "vit", photos) == full


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_the_vector_is_the_networks_own_embedding_at_unit_length(kind: str, tmp_path: Path) -> None:
    network = save(kind, tmp_path / kind)
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    boxes = Boxes({"a": (0, 0, 32, 32)})
    measurer = IdentityMeasurer(kind, tmp_path, "cpu", POSE, boxes)
    (row,) = measurer.measure([Photo("a", image)])["embeddings"]
    assert row["sha256"] == "a"
    assert row["vector"] == pytest.approx(embedding(kind, network, image), abs=1e-3)
    assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-3)
    assert all(round(value, 4) == value for value in row["vector"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity") / "vit"
    save("vit", folder)
    return folder


def test_photos_without_a_person_get_no_row(folder: Path, photos: list[Photo]) -> None:
    assert [row["sha256"] for row in measure(folder, photos)] == [photo.sha256 for photo in photos[:-1]]
    assert measure(folder, photos[-1:]) == [] and measure(folder, []) == []


def test_rows_do_not_depend_on_the_batch(folder: Path, photos: list[Photo]) -> None:
    rows = measure(folder, photos)
    assert measure(folder, photos[::-1]) == rows[::-1]
    assert [measure(folder, [photo]) for photo in photos[:3]] == [[row] for row in rows[:3]]
    assert len({tuple(row["vector"]) for row in rows}) == len(rows)


def test_only_the_person_is_embedded(folder: Path, photos: list[Photo]) -> None:
    elsewhere = photos[0].image.copy()
    elsewhere.paste((255, 0, 0), (61, 0, 100, 120))
    assert measure(folder, [Photo("0", elsewhere)]) == measure(folder, photos[:1])
    within = photos[0].image.copy()
    within.paste((255, 0, 0), (30, 40, 50, 80))
    assert measure(folder, [Photo("0", within)]) != measure(folder, photos[:1])


def test_a_crop_is_the_entire_person_in_a_square() -> None:
    image = Image.new("RGB", (100, 200), "red")
    image.paste((0, 0, 255), (10, 20, 50, 180))
    square = np.asarray(crop(image, (10, 20, 50, 180)))
    assert square.shape == (160, 160, 3)
    assert (square[:, 60:100] == (0, 0, 255)).all() and (square[:, :60] == 114).all() and (square[:, 100:] == 114).all()
    assert crop(image, (99.9, 199.9, 100.0, 200.0)).size == (1, 1)


def test_a_network_without_a_trained_pooler_gives_its_class_token(tmp_path: Path, photos: list[Photo]) -> None:
    network = save("vit", tmp_path / "vit")
    file = tmp_path / "vit" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if "pooler" not in name}
    save_file(kept, file, {"format": "pt"})
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    measurer = IdentityMeasurer("vit", tmp_path, "cpu", POSE, Boxes({"a": (0, 0, 32, 32)}))
    (row,) = measurer.measure([Photo("a", image)])["embeddings"]
    with torch.inference_mode():
        pixels = torch.from_numpy((np.asarray(image) / 127.5 - 1).transpose(2, 0, 1)[None]).float()
        token = network(pixel_values=pixels).last_hidden_state[0, 0]
    assert row["vector"] == pytest.approx((token / token.norm()).tolist(), abs=1e-3)


def test_a_network_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    save("vit", tmp_path / "vit")
    file = tmp_path / "vit" / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "layernorm.weight" not in k}, file, {"format": "pt"})
    with pytest.raises(BolidError, match=r"lacks weights of the network \(layernorm.weight"):
        IdentityMeasurer("vit", tmp_path, "cpu", POSE, BOXES)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    network = save("vit", tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "vit" / "pytorch_model.bin")
    with pytest.raises(BolidError, match="no image encoder can be loaded"):
        IdentityMeasurer("vit", tmp_path, "cpu", POSE, BOXES)


def test_a_text_encoder_is_refused(tmp_path: Path) -> None:
    BertModel(BertConfig(**SMALL, vocab_size=8)).save_pretrained(tmp_path / "bert")
    ViTImageProcessor().save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match="not an image encoder"):
        IdentityMeasurer("bert", tmp_path, "cpu", POSE, BOXES)


def test_the_error_for_a_missing_hub_model_says_how_to_download_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BolidError, match="run `hf download facebook/dinov2-small`"):
        IdentityMeasurer("facebook/dinov2-small", tmp_path, "cpu", POSE, BOXES)


def test_another_pose_model_makes_another_identity_model(folder: Path) -> None:
    other = Model("pose@2", "pose", "", "{}", "")
    ids = {IdentityMeasurer(str(folder), Path(), "cpu", pose, BOXES).model.id for pose in (POSE, other, POSE)}
    assert len(ids) == 2


def test_the_catalog_gives_the_largest_certain_person(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    catalog.create()

    def person(sha256: str, score: float, box: list[float], kind: str = "person") -> dict[str, Any]:
        return {"sha256": sha256, "kind": kind, "score": score, "box": box, "keypoints": None}

    large, larger, small = [0.0, 0.0, 50.0, 50.0], [0.0, 0.0, 60.0, 60.0], [0.0, 0.0, 10.0, 10.0]
    rows = [
        person("a", 0.9, small),
        person("a", 0.6, large),
        person("a", 0.4, larger),  # below the minimum score
        person("a", 0.9, larger, kind="face"),
        person("b", 0.3, large),
        person("c", 0.9, small),
    ]
    other = Model("pose@2", "pose", "", "{}", "")
    catalog.measurements.record_measurements(
        [
            Measurements(POSE, ["a", "b", "c"], {"detections": rows}),
            Measurements(other, ["a"], {"detections": [person("a", 0.9, larger)]}),
        ],
        {},
    )
    assert catalog.measurements.person_boxes(POSE.id, ["a", "b", "nobody"]) == {"a": large}
    assert catalog.measurements.person_boxes(POSE.id, ["a", "b"], min_score=0.2) == {"a": larger, "b": large}
    assert catalog.measurements.person_boxes(other.id, ["a", "c"]) == {"a": larger}

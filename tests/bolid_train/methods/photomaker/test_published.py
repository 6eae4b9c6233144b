"""PhotoMaker's published layout: loaded, generated with, written, and loaded again; and where the person is put."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from transformers import CLIPVisionConfig

from bolid_data.errors import BolidError, UsageError
from bolid_train.inference.generate import Request, generate
from bolid_train.methods.photomaker.class_word import repeat_class_word, without_trigger
from bolid_train.methods.photomaker.file import published as published_names
from bolid_train.methods.photomaker.file import read_photomaker
from bolid_train.methods.photomaker.id_encoder import IdEncoder
from bolid_train.methods.photomaker.person_box import person_box
from bolid_train.training.trainer import train
from small_world.world.photos import draw_split
from small_world.world.splits import HELD_OUT
from tests.support import published
from tests.support.drawn_batches import bare, drawn_batch, drawn_unet, installed, predict
from tests.support.drawn_shards import write_manifest
from tests.support.sdxl import SDXL

CLIP = {"hidden": 96, "layers": 3, "mlp": 192, "patch": 8, "tokens": 65}
"""That of the small base."""
WIDTHS = (32, 48)
RANK = 12
VIT_L = {"hidden": 1024, "layers": 24, "mlp": 4096, "patch": 14, "tokens": 257}


@pytest.fixture(scope="module", params=["photomaker-v1.bin", "photomaker-v1.safetensors"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photomaker") / request.param
    return published.write_photomaker(file, drawn_unet(), CLIP, WIDTHS, RANK)


def test_what_is_loaded_and_written_is_bit_for_bit_the_published_file(checkpoint: Path, tmp_path: Path) -> None:
    method, unet = installed("photomaker", rank=RANK)
    method.load_public(checkpoint)
    method.save(tmp_path)
    ours, theirs = read_photomaker(tmp_path / "photomaker.safetensors"), read_photomaker(checkpoint)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again, other_unet = installed("photomaker", rank=RANK)
    again.load(tmp_path)
    batch = drawn_batch()
    with torch.no_grad():
        inputs = [one.condition(batch)[0] for one in (method, again)]
    assert torch.equal(predict(unet, batch, inputs[0]), predict(other_unet, batch, inputs[1]))


def test_at_scale_zero_prompt_and_image_are_the_bases(checkpoint: Path) -> None:
    method, unet = installed("photomaker", rank=RANK)
    method.load_public(checkpoint)
    batch, base = drawn_batch(), drawn_unet()
    expected = predict(base, batch, bare(batch))
    with torch.no_grad():
        assert not torch.equal(predict(unet, batch, method.condition(batch)[0]), expected)
        method.scale("id", 0.0)
        inputs, _ = method.condition(batch)
    assert torch.equal(inputs.encoder_hidden_states, batch.prompt_embeds)
    assert torch.equal(predict(unet, batch, inputs), expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fuse_module.mlp2.fc2.bias", None, r"it lacks id_encoder\.fuse_module\.mlp2\.fc2\.bias"),
        ("extra", torch.zeros(1), r"it has id_encoder\.extra"),
        ("qformer_perceiver.token_norm.weight", torch.zeros(1), r"version 2 of PhotoMaker; set \[train\.photomaker\]"),
        ("vision_model.embeddings.class_embedding", torch.zeros(64), "is 64 wide, and that of the base is 96"),
        ("fuse_module.layer_norm.bias", torch.full((80,), torch.nan), "NaN"),
    ],
    ids=["missing", "extra", "version 2", "another CLIP", "NaN"],
)
def test_a_strangers_file_is_refused_with_the_names_of_its_tensors(
    name: str, value: torch.Tensor | None, message: str, tmp_path: Path
) -> None:
    file = published.write_photomaker(tmp_path / "file.bin", drawn_unet(), CLIP, WIDTHS, RANK)
    parts = torch.load(file, weights_only=True)
    parts["id_encoder"].pop(name, None)
    if value is not None:
        parts["id_encoder"][name] = value
    torch.save(parts, file)
    method, _ = installed("photomaker", rank=RANK)
    with pytest.raises(BolidError, match=message):
        method.load_public(file)


def test_half_of_a_file_is_no_photomaker(tmp_path: Path) -> None:
    torch.save({"id_encoder": {"a": torch.zeros(1)}}, tmp_path / "file.bin")
    with pytest.raises(BolidError, match="not a PhotoMaker: it has no 'lora_weights'"):
        installed("photomaker")[0].load_public(tmp_path / "file.bin")


def test_another_rank_says_what_to_set(tmp_path: Path) -> None:
    file = published.write_photomaker(tmp_path / "file.bin", drawn_unet(), CLIP, WIDTHS, RANK)
    method, _ = installed("photomaker", rank=4)
    with pytest.raises(BolidError, match=r"set \[train\.photomaker\] rank = 12"):
        method.load_public(file)


def test_at_sdxls_size_names_shapes_and_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        config = CLIPVisionConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            intermediate_size=4096,
            patch_size=14,
            projection_dim=768,
            num_attention_heads=16,
        )
        encoder, unet = IdEncoder(config, (768, 1280)), UNet2DConditionModel(**SDXL)
    ours = {name: tuple(value.shape) for name, value in published_names(encoder.state_dict(), {}).items()}
    theirs = published.photomaker_shapes(VIT_L, (768, 1280))
    assert ours == {f"id_encoder.{name}": shape for name, shape in theirs.items()}
    fused = {name: value for name, value in ours.items() if "fuse_module" in name}
    assert sum(torch.Size(shape).numel() for shape in fused.values()) == 20_996_096
    lora = published.photomaker_lora_shapes(unet, 64)
    assert len(lora) == 140 * 8 and sum(torch.Size(shape).numel() for shape in lora.values()) == 92_897_280


def test_a_published_checkpoint_generates_at_the_class_word(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    file = published.write_photomaker(tmp_path / "photomaker-v1.bin", drawn_unet(), CLIP, WIDTHS, RANK)
    table = {"from_file": str(file), "rank": RANK, "merge_after": 0.5}
    settings = write_manifest(tmp_path, method="photomaker", photomaker=table)
    train(settings, tmp_path, steps=0)
    ours = read_photomaker(tmp_path / "runs" / "photomaker" / "photomaker.safetensors")
    theirs = read_photomaker(file)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "nothing was trained"
    photo = tmp_path / "photo.png"
    Image.fromarray(draw_split(replace(HELD_OUT, people=1)).images[0]).save(photo)
    images = []
    for name, prompt, steps in (("word", "a person", 2), ("trigger", "a wizard img", 2), ("late", "a person", 1)):
        out = tmp_path / f"{name}.png"
        generate(tmp_path, settings, Request(prompt, out, photos=[photo], steps=steps, seed=2))
        images.append(Image.open(out).tobytes())
    assert len(set(images)) == 3
    nowhere = Request("a house", tmp_path / "nowhere.png", photos=[photo], steps=1)
    with pytest.raises(UsageError, match="has no word for the person"):
        generate(tmp_path, settings, nowhere)


def test_the_class_word_is_the_one_before_the_trigger_or_the_first_for_a_person() -> None:
    assert without_trigger("a wizard img with a woman", True) == "a wizard with a woman"
    assert without_trigger("a woman in a park", True) == "a woman in a park"
    assert without_trigger("a house", False) == "a house"


def test_the_class_word_is_written_once_per_photo_and_no_more() -> None:
    ids = torch.tensor([[1, 7, 8, 9, 2, 0], [1, 7, 8, 9, 2, 0], [1, 7, 8, 9, 2, 0]])
    word = torch.tensor([[0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0] * 6], dtype=torch.bool)
    repeated, places = repeat_class_word(ids, word, torch.tensor([3, 1, 3]))
    assert repeated.tolist() == [[1, 7, 8, 8, 8, 9], [1, 7, 8, 9, 2, 0], [1, 7, 8, 9, 2, 0]]
    assert places.int().tolist() == [[0, 0, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0], [0] * 6]


def test_the_masked_loss_is_that_of_the_box_around_the_person() -> None:
    keypoints = torch.tensor([0.5, 0.5, 1.0]).repeat(2, 17, 1)
    keypoints[0, 0, :2], keypoints[0, 1, :2] = torch.tensor([0.25, 0.25]), torch.tensor([0.5, 0.75])
    keypoints[1, :, 2] = 0
    box = person_box(keypoints, 16, 16, 0.5)
    assert box[0, 0, 8, 6] == 1 and box[0, 0, 8, 12] == 0 and box[0, 0, 0, 6] == 0
    assert box[1].all(), "of a photo without keypoints, everything counts"
    method, _ = installed("photomaker", masked_loss=1.0)
    weights = method.loss_weights(drawn_batch())
    assert weights is not None and weights.shape == (3, 1, 16, 16)
    assert installed("photomaker", masked_loss=0.0)[0].loss_weights(drawn_batch()) is None

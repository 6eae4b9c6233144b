"""PhotoMaker's version 2: its layout loaded, generated with, written, and loaded again; and what it reads."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig

from bolid_data.errors import BolidError, UsageError
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.inference.generate import Request, generate
from bolid_train.methods.photomaker.face_id_encoder import FaceIdEncoder
from bolid_train.methods.photomaker.file import published as published_names
from bolid_train.methods.photomaker.file import read_photomaker
from bolid_train.methods.photomaker.id_encoder import IdEncoder
from bolid_train.methods.photomaker.method import PhotoMaker
from bolid_train.settings import train_model
from bolid_train.training.trainer import train
from small_world.world.photos import draw_split
from small_world.world.splits import HELD_OUT
from tests.support import published
from tests.support.drawn_batches import bare, drawn_batch, drawn_unet, fit, installed, predict
from tests.support.drawn_shards import write_manifest
from tests.support.face_encoder import write_face_encoder
from tests.support.small_base import small_base

CLIP = {"hidden": 96, "layers": 3, "mlp": 192, "patch": 8, "tokens": 65}
"""That of the small base."""
WIDTHS = (32, 48)
RANK = 12
FACE = 24


def _installed(face: int = FACE, rank: int = RANK) -> tuple[PhotoMaker, UNet2DConditionModel]:
    table = {"version": 2, "face_encoder": "glintr100.onnx", "rank": rank}
    settings = train_model().model_validate({"method": "photomaker", "photomaker": table})
    method, unet = PhotoMaker(settings, {"view_face_embeds": (face,)}), drawn_unet()
    method.install(unet, Base.at("random", small_base()))
    return method, unet


def _batch(faces: int = 2, views: int = 2) -> Batch:
    """Views of which the last `faces` show a face."""
    batch = drawn_batch(views=views)
    embeds = torch.randn(3, views, FACE, generator=torch.Generator().manual_seed(0))
    embeds[:, : views - faces] = 0
    return replace(batch, features=dict(batch.features) | {"view_face_embeds": embeds})


def _prompts(method: PhotoMaker, batch: Batch) -> Tensor:
    with torch.no_grad():
        return method.condition(batch)[0].encoder_hidden_states


def _write(path: Path) -> Path:
    return published.write_photomaker(path, drawn_unet(), CLIP, WIDTHS, RANK, FACE)


@pytest.mark.parametrize("name", ["photomaker-v2.bin", "photomaker-v2.safetensors"])
def test_what_is_loaded_and_written_is_bit_for_bit_the_published_file(name: str, tmp_path: Path) -> None:
    file = _write(tmp_path / name)
    (method, unet), (again, other_unet) = _installed(), _installed()
    method.load_public(file)
    method.save(tmp_path)
    ours, theirs = read_photomaker(tmp_path / "photomaker.safetensors"), read_photomaker(file)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again.load(tmp_path)
    batch = _batch()
    with torch.no_grad():
        inputs = [one.condition(batch)[0] for one in (method, again)]
    predictions = [predict(one, batch, values) for one, values in zip((unet, other_unet), inputs, strict=True)]
    assert torch.equal(*predictions)
    base = predict(drawn_unet(), batch, bare(batch))
    assert not torch.equal(predictions[0], base)
    method.scale("id", 0.0)
    assert torch.equal(predict(unet, batch, method.condition(batch)[0]), base)


def test_each_photo_with_a_face_is_two_tokens_of_the_prompt(tmp_path: Path) -> None:
    method, _ = _installed()
    method.load_public(_write(tmp_path / "photomaker-v2.bin"))
    batch = _batch(faces=1, views=2)
    with_one = _prompts(method, batch)
    only = replace(
        batch,
        features=dict(batch.features)
        | {name: batch.features[name][:, 1:] for name in ("id_pixels", "view_face_embeds")},
        views=drawn_batch(views=1).views,
    )
    torch.testing.assert_close(with_one, _prompts(method, only))
    assert not torch.equal(with_one, _prompts(method, _batch(faces=2)))
    # The class word is the fourth token; two copies of it hold the photo, and the end moves back by one.
    places = (with_one - method.text_encoders(_repeated(batch))).abs().amax(dim=(0, 2)) > 1e-3
    assert places.tolist() == [False, False, False, True, True, False, False]
    assert torch.equal(_prompts(method, _batch(faces=0)), batch.prompt_embeds)


def _repeated(batch: Batch) -> Tensor:
    ids = batch.features["token_ids"]
    return torch.cat([ids[..., :4], ids[..., 3:6]], dim=-1)


@pytest.mark.parametrize("face", [None, "glintr100.onnx"])
def test_it_learns_with_all_that_it_trains(face: str | None) -> None:
    method, unet = _installed() if face else installed("photomaker", version=2)
    losses = fit(method, unet, _batch(), 8)
    assert losses[-1] < losses[0] and all(value.grad is not None for value in method.parameters())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("qformer_perceiver.token_norm.bias", None, r"it lacks id_encoder\.qformer_perceiver\.token_norm\.bias"),
        ("qformer_perceiver.extra", torch.zeros(1), r"it has id_encoder\.qformer_perceiver\.extra"),
        (
            "qformer_perceiver.token_proj.0.weight",
            torch.zeros(96, 25),
            "its face embeddings are 25 wide, and the identity embeddings here are 24",
        ),
    ],
    ids=["missing", "extra", "another face encoder"],
)
def test_a_strangers_file_is_refused_with_the_names_of_its_tensors(
    name: str, value: Tensor | None, message: str, tmp_path: Path
) -> None:
    file = _write(tmp_path / "file.bin")
    parts = torch.load(file, weights_only=True)
    parts["id_encoder"].pop(name, None)
    if value is not None:
        parts["id_encoder"][name] = value
    torch.save(parts, file)
    with pytest.raises(BolidError, match=message):
        _installed()[0].load_public(file)


def test_version_1_is_refused_with_what_to_set(tmp_path: Path) -> None:
    file = published.write_photomaker(tmp_path / "photomaker-v1.bin", drawn_unet(), CLIP, WIDTHS, RANK)
    with pytest.raises(BolidError, match=r"is version 1 of PhotoMaker; set \[train\.photomaker\] version = 1"):
        _installed()[0].load_public(file)


def test_a_face_encoder_is_for_version_2_alone() -> None:
    with pytest.raises(ValueError, match="version 1 reads no faces"):
        train_model().model_validate({"method": "photomaker", "photomaker": {"face_encoder": "glintr100.onnx"}})


def test_at_sdxls_size_names_shapes_and_counts_are_the_published_ones() -> None:
    config = CLIPVisionConfig(
        hidden_size=1024, num_hidden_layers=24, intermediate_size=4096, patch_size=14, num_attention_heads=16
    )
    with torch.device("meta"):
        encoder = FaceIdEncoder.for_faces(IdEncoder(config, (768, 1280)), (768, 1280), 512)
    ours = {name: tuple(value.shape) for name, value in published_names(encoder.state_dict(), {}).items()}
    clip = {"hidden": 1024, "layers": 24, "mlp": 4096, "patch": 14, "tokens": 257}
    perceiver = published.face_perceiver_shapes(1024, 2048, 512, 2048)
    theirs = published.photomaker_shapes(clip, (768, 1280)) | perceiver
    assert ours == {f"id_encoder.{name}": shape for name, shape in theirs.items()}
    resampler = [shape for name, shape in perceiver.items() if "perceiver_resampler" in name]
    assert sum(torch.Size(shape).numel() for shape in resampler) == 207_675_392
    assert encoder.qformer_perceiver.perceiver_resampler.size.heads == 16
    assert sum(value.numel() for value in encoder.trained(4)) == 288_503_808


def test_a_published_checkpoint_generates_by_a_face(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    file = _write(tmp_path / "photomaker-v2.bin")
    network = write_face_encoder(tmp_path / "face.xml", FACE)
    table = {"version": 2, "face_encoder": str(network), "from_file": str(file), "rank": RANK, "merge_after": 0}
    settings = write_manifest(tmp_path, method="photomaker", photomaker=table)
    train(settings, tmp_path, steps=0)
    ours = read_photomaker(tmp_path / "runs" / "photomaker" / "photomaker.safetensors")
    theirs = read_photomaker(file)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "nothing was trained"
    photo = tmp_path / "photo.png"
    Image.fromarray(draw_split(replace(HELD_OUT, people=1)).images[0]).save(photo)
    capsys.readouterr()
    images = []
    for name, scale in (("person", 1.0), ("base", 0.0)):
        out = tmp_path / f"{name}.png"
        request = Request("a person", out, photos=[photo], steps=1, seed=2, scales={"id": scale})
        generate(tmp_path, settings, request)
        images.append(Image.open(out).tobytes())
    assert images[0] != images[1] and "no face" not in capsys.readouterr().err
    # On a photo whose upper half is missing, no eye is found.
    image, faceless = Image.open(photo), tmp_path / "faceless.png"
    image.crop((0, image.height // 2, image.width, image.height)).save(faceless)
    request = replace(request, out=tmp_path / "faceless_out.png", scales={}, photos=[faceless])
    generate(tmp_path, settings, request)
    expected = f"no face, with both eyes and the nose, is found on {faceless}; the image is made as without photos"
    assert expected in " ".join(capsys.readouterr().err.split())
    generate(tmp_path, settings, replace(request, photos=[faceless, photo]))
    assert "only 1 other photo used" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match=r"--image-prompt: method 'photomaker' of run .* takes no image prompt"):
        generate(tmp_path, settings, replace(request, photos=[], image_prompt=photo))

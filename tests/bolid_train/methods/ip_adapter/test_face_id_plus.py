"""FaceID Plus's layout: loaded, generated with, written, and loaded again; and where its files are refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.inference.generate import Request, generate
from bolid_train.methods.ip_adapter.face_id_plus import joined
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.methods.layers.public import read_ip_adapter
from bolid_train.settings import train_model
from bolid_train.training.trainer import train
from small_world.world.photos import draw_split
from small_world.world.splits import HELD_OUT
from tests.support import published
from tests.support.drawn_batches import bare, drawn_batch, drawn_unet, fit, predict
from tests.support.drawn_shards import write_manifest
from tests.support.face_encoder import write_face_encoder
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base

FACE, CLIP, TOKENS, TEXT = 200, 96, 65, 80
"""The small base's CLIP has 65 tokens of 96 numbers; a face embedding takes three rows of them."""


def _installed(
    unet: UNet2DConditionModel, face: int = FACE, states: tuple[int, int] = (TOKENS, CLIP), **settings: str
) -> IpAdapter:
    table = {"layout": "face-id-plus", "face_encoder": "glintr100.onnx", **settings}
    shapes = {"face_embeds": (face,), "image_states": states}
    method = IpAdapter(train_model().model_validate({"method": "ip-adapter", "ip-adapter": table}), shapes)
    method.install(unet, Base.at("random", small_base()))
    return method


def _batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    faces, states = torch.randn(3, FACE, generator=generator), torch.randn(3, TOKENS, CLIP, generator=generator)
    return replace(drawn_batch(), features={"face_embeds": faces, "image_states": states})


def _write(path: Path, rank: int = 5, face: int = FACE, text: int = TEXT, clip: int = CLIP) -> dict[str, Tensor]:
    unet = drawn_unet()
    projection = published.face_plus_shapes(face, 30, clip, text, 64)
    branch = published.branch_shapes(unet) | published.low_rank_shapes(unet, rank)
    parts = {"image_proj": published.drawn(projection), "ip_adapter": published.drawn(branch, 1)}
    published.write(parts, path)
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


def _predicted(method: IpAdapter, unet: UNet2DConditionModel, batch: Batch) -> Tensor:
    with torch.no_grad():
        return predict(unet, batch, method.condition(batch)[0])


@pytest.mark.parametrize("name", ["faceid-plusv2.bin", "faceid-plusv2.safetensors"])
def test_a_published_file_is_written_again_bit_for_bit(name: str, tmp_path: Path) -> None:
    theirs = _write(tmp_path / name)
    unets = drawn_unet(), drawn_unet()
    method, again = (_installed(unet, absent="projected_zeros") for unet in unets)
    method.load_public(tmp_path / name)
    method.save(tmp_path)
    ours = load_file(tmp_path / "ref.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again.load_public(tmp_path / "ref.safetensors")
    batch = _batch()
    ours_image, again_image = _predicted(method, unets[0], batch), _predicted(again, unets[1], batch)
    assert torch.equal(ours_image, again_image)
    base = predict(drawn_unet(), batch, bare(batch))
    assert not torch.equal(ours_image, base)
    method.scale("ref", 0.0)
    assert torch.equal(_predicted(method, unets[0], batch), base)


def test_tokens_are_of_the_normalised_embedding_and_the_states_with_the_shortcut(tmp_path: Path) -> None:
    _write(tmp_path / "file.bin")
    unet, batch = drawn_unet(), _batch()
    method = _installed(unet, absent="projected_zeros")
    method.load_public(tmp_path / "file.bin")
    [projection] = method.branches.image_projection_layers
    faces, states = batch.features["face_embeds"], batch.features["image_states"]
    with torch.no_grad():
        [embeds], _ = method.embeddings(batch)
        tokens = method.branches.tokens("ref", embeds[:, None])[:, 0]
        unit = faces / faces.norm(dim=1, keepdim=True)
        torch.testing.assert_close(tokens, projection(unit, states, 1.0))
        nothing = method.branches.tokens("ref", torch.zeros_like(embeds)[:, None])[0, 0]
        grey = Base.at("random", small_base()).image_encoder_model()
        side = grey.config.image_size
        of_grey = grey(torch.zeros(1, 3, side, side), output_hidden_states=True).hidden_states[-2]
        torch.testing.assert_close(nothing, projection(torch.zeros(1, FACE), of_grey, 1.0)[0])


def test_a_photo_without_a_face_is_none() -> None:
    batch = _batch()
    batch.features["face_embeds"][1] = 0
    of_rows = joined(batch.features["face_embeds"], batch.features["image_states"])
    assert of_rows.shape == (3, 3 + TOKENS, CLIP)
    assert [bool(row.any()) for row in of_rows] == [True, False, True]


def test_it_learns_with_all_that_it_trains() -> None:
    unet = drawn_unet()
    method = _installed(unet)
    losses = fit(method, unet, _batch(), 4)
    assert losses[-1] < losses[0] and all(value.grad is not None for value in method.parameters())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"face": 24}, r"of another shape are image_proj\.proj\.0\.bias"),
        ({"clip": 32}, r"of another shape are image_proj\.perceiver_resampler\.proj_in\.weight \[80, 32\]"),
        ({"text": 16}, r"of another shape are image_proj\."),
    ],
    ids=["face encoder", "image encoder", "base"],
)
def test_a_file_for_other_models_is_refused(sizes: dict[str, int], message: str, tmp_path: Path) -> None:
    _write(tmp_path / "file.bin", **sizes)
    with pytest.raises(BolidError, match=message):
        _installed(drawn_unet()).load_public(tmp_path / "file.bin")


def test_for_another_layout_the_error_says_which_the_file_has(tmp_path: Path) -> None:
    _write(tmp_path / "file.bin")
    table = {"layout": "face-id", "face_encoder": "glintr100.onnx"}
    settings = train_model().model_validate({"method": "ip-adapter", "ip-adapter": table})
    method = IpAdapter(settings, {"face_embeds": (FACE,)})
    method.install(drawn_unet(), Base.at("random", small_base()))
    with pytest.raises(BolidError, match=r'it has image_proj\.perceiver.*set .* layout = "face-id-plus"$'):
        method.load_public(tmp_path / "file.bin")


def test_a_published_file_generates_by_a_face(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    _write(tmp_path / "faceid-plusv2.bin")
    write_face_encoder(tmp_path / "face.xml", FACE)
    # Both are named as they lie beside the manifest.
    table = {"layout": "face-id-plus", "ref_from": "faceid-plusv2.bin", "face_encoder": "face.xml"}
    settings = write_manifest(
        tmp_path, method="ip-adapter", objective={"detector": "tiny-keypoints"}, **{"ip-adapter": table}
    )
    train(settings, tmp_path, steps=0)
    ours = load_file(tmp_path / "runs" / "ip-adapter" / "ref.safetensors")
    theirs = read_ip_adapter(tmp_path / "faceid-plusv2.bin")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "nothing was trained"
    photo = tmp_path / "photo.png"
    Image.fromarray(draw_split(replace(HELD_OUT, people=1)).images[0]).save(photo)
    for name, scale in {"all": None, "off": 0.0}.items():
        request = Request("a person", tmp_path / f"{name}.png", photos=[photo], steps=1, seed=2, scale_ref=scale)
        generate(tmp_path, settings, request)
    assert Image.open(tmp_path / "all.png").tobytes() != Image.open(tmp_path / "off.png").tobytes()


def test_at_sdxls_size_it_is_the_published_layout() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
        expected = published.branch_shapes(unet) | published.low_rank_shapes(unet, 128)
        method = _installed(unet, 512, (257, 1280))
    shapes = {name: tuple(value.shape) for name, value in method.branches.tensors("ref").items()}
    projection = published.face_plus_shapes(512, 1024, 1280, 2048, 2048)
    assert shapes == {f"image_proj.{name}": shape for name, shape in projection.items()} | {
        f"ip_adapter.{name}": shape for name, shape in expected.items()
    }

"""FaceID's layout: loaded, generated with, written, and loaded again."""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.settings import train_model
from tests.support import published
from tests.support.drawn_batches import bare, drawn_batch, drawn_unet, fit, predict
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base

FACE = 24


def _installed(unet: UNet2DConditionModel, width: int = FACE) -> IpAdapter:
    table = {"layout": "face-id", "face_encoder": "glintr100.onnx"}
    method = IpAdapter(
        train_model().model_validate({"method": "ip-adapter", "ip-adapter": table}), {"face_embeds": (width,)}
    )
    method.install(unet, Base.at("random", small_base()))
    return method


def _batch() -> Batch:
    faces = torch.randn(3, FACE, generator=torch.Generator().manual_seed(0))
    return replace(drawn_batch(), features={"face_embeds": faces})


def _write(path: Path, rank: int) -> dict[str, Tensor]:
    unet = drawn_unet()
    projection = published.face_shapes(FACE, 30, 80)
    branch = published.branch_shapes(unet) | published.low_rank_shapes(unet, rank)
    parts = {"image_proj": published.drawn(projection), "ip_adapter": published.drawn(branch, 1)}
    published.write(parts, path)
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


def test_a_published_file_is_written_again_bit_for_bit(tmp_path: Path) -> None:
    theirs = _write(tmp_path / "faceid.bin", rank=5)
    unets = drawn_unet(), drawn_unet()
    method, again = (_installed(unet) for unet in unets)
    method.load_public(tmp_path / "faceid.bin")
    method.save(tmp_path)
    ours = load_file(tmp_path / "ref.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again.load_public(tmp_path / "ref.safetensors")
    batch = _batch()
    predictions = []
    for one, unet in zip((method, again), unets, strict=True):
        with torch.no_grad():
            predictions.append(predict(unet, batch, one.condition(batch)[0]))
    assert torch.equal(*predictions)
    base = predict(drawn_unet(), batch, bare(batch))
    assert not torch.equal(predictions[0], base)
    method.scale("ref", 0.0)
    assert torch.equal(predict(unets[0], batch, method.condition(batch)[0]), base)


def test_the_embedding_is_normalised_as_published() -> None:
    batch = _batch()
    batch.features["face_embeds"][2] = 0
    [faces], _ = _installed(drawn_unet()).embeddings(batch)
    torch.testing.assert_close(faces.norm(dim=1), torch.tensor([1.0, 1.0, 0.0]))


def test_it_learns_with_its_low_rank_layers() -> None:
    unet = drawn_unet()
    method = _installed(unet)
    losses = fit(method, unet, _batch(), 4)
    assert losses[-1] < losses[0] and all(value.grad is not None for value in method.parameters())


def test_at_sdxls_size_it_is_the_published_layout() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
        expected = published.branch_shapes(unet) | published.low_rank_shapes(unet, 128)
        method = _installed(unet, 512)
    shapes = {name: tuple(value.shape) for name, value in method.branches.tensors("ref").items()}
    projection = published.face_shapes(512, 1024, 2048)
    assert shapes == {f"image_proj.{name}": shape for name, shape in projection.items()} | {
        f"ip_adapter.{name}": shape for name, shape in expected.items()
    }
    assert len(shapes) == 6 + 140 + 140 * 8

"""InstantID's published layout: loaded, generated with, written, and loaded again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, DDPMScheduler, UNet2DConditionModel
from PIL import Image

from bolid_data.errors import BolidError
from bolid_train.data.batch import Batch, Views
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.inference.generate import Request, generate
from bolid_train.methods import registry
from bolid_train.methods.instantid.identity_net import build
from bolid_train.methods.instantid.method import InstantId
from bolid_train.methods.layers.public import read_ip_adapter
from bolid_train.settings import train_model
from bolid_train.training import flops
from bolid_train.training.trainer import train
from small_world.world.photos import draw_split
from small_world.world.splits import HELD_OUT
from tests.support import published
from tests.support.drawn_batches import REF_DIM, drawn_batch, drawn_unet, installed, predict
from tests.support.drawn_shards import write_manifest
from tests.support.face_encoder import write_face_encoder
from tests.support.hub import Hub, serve, visit
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base

FACE = 24  # numbers of the face encoder below


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.write_instantid(tmp_path_factory.mktemp("instantid"), drawn_unet(), REF_DIM, (16, 32, 96))


def test_what_is_loaded_and_written_is_bit_for_bit_the_published_file(checkpoint: Path, tmp_path: Path) -> None:
    method, unet = installed("instantid", absent="projected_zeros")
    method.load_public(checkpoint)
    method.save(tmp_path)
    ours, theirs = read_ip_adapter(tmp_path / "ip-adapter.bin"), read_ip_adapter(checkpoint)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    networks = [ControlNetModel.from_pretrained(folder / "ControlNetModel") for folder in (tmp_path, checkpoint.parent)]
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], value.float()) for name, value in second.items())
    again, other_unet = installed("instantid", absent="projected_zeros")
    again.load_public(tmp_path / "ip-adapter.bin")
    batch = drawn_batch()
    with torch.no_grad():
        inputs = [one.condition(batch)[0] for one in (method, again)]
    assert torch.equal(predict(unet, batch, inputs[0]), predict(other_unet, batch, inputs[1]))


def test_identity_net_gets_the_tokens_alone_also_of_no_face(checkpoint: Path) -> None:
    method, unet = installed("instantid", absent="projected_zeros")
    method.load_public(checkpoint)
    batch = drawn_batch()
    with torch.no_grad():
        inputs, _ = method.condition(batch)
        nobody = method.drop(inputs, "body")
        [control], [of_nobody] = inputs.controls, nobody.controls
        [resampler] = unet.encoder_hid_proj.image_projection_layers
        torch.testing.assert_close(control.tokens, resampler(batch.features["image_embeds"]))
        torch.testing.assert_close(of_nobody.tokens, resampler(torch.zeros(3, REF_DIM)))
    assert control.tokens.shape == (3, 6, 80) and of_nobody.tokens.any()
    assert torch.equal(control.pooled, batch.pooled_prompt_embeds)
    assert not method.drop(inputs, "text").controls[0].pooled.any()


def test_it_is_trained_on_the_targets_keypoints_and_not_on_the_references() -> None:
    method, _ = installed("instantid")
    batch, other = drawn_batch(), drawn_batch(seed=1)
    keypoints = {"keypoints": batch.keypoints, "reference_keypoints": other.keypoints, "views": other.views}
    [control] = method.condition(type(batch)(**{**vars(other), **keypoints}))[0].controls
    assert torch.equal(control.image, method.condition(batch)[0].controls[0].image)


def test_a_strangers_checkpoint_is_refused_with_the_names_of_its_tensors(checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint.parent, tmp_path / "copy")
    parts = torch.load(folder / "ip-adapter.bin", weights_only=True)
    parts["image_proj"].pop("norm_out.weight")
    parts["ip_adapter"]["7.to_q_ip.weight"] = torch.zeros(1)
    torch.save(parts, folder / "ip-adapter.bin")
    method, _ = installed("instantid")
    lacking = r"it lacks image_proj\.norm_out\.weight; it has ip_adapter\.7\.to_q_ip\.weight"
    with pytest.raises(BolidError, match=lacking):
        method.load_public(folder / "ip-adapter.bin")
    shutil.copy(checkpoint, folder)
    config = folder / "ControlNetModel" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"attention_head_dim": 8}))
    with pytest.raises(BolidError, match="does not fit this base: attention_head_dim is 8"):
        method.load_public(folder / "ip-adapter.bin")
    config.unlink()
    with pytest.raises(BolidError, match=r"config\.json: cannot be read .*No such file"):
        method.load_public(folder / "ip-adapter.bin")


def _files_below(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("inner", ["", "/ip-adapter.bin"], ids=["repository", "file"])
def test_it_is_downloaded_with_the_network_beside_it(
    inner: str, checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    files = _files_below(checkpoint.parent)
    manifest = write_manifest(tmp_path, method="instantid", instantid={"checkpoint": f"somebody/instantid{inner}"})
    with serve(Hub({"somebody/instantid": {"main": files | {"pytorch_model.bin": b"not needed"}}})) as hub:
        visit(hub, tmp_path / "home", monkeypatch)
        train(manifest, tmp_path, steps=0)
        assert not any("/pytorch_model.bin" in path for path, _ in hub.requests)
    run = tmp_path / "runs" / "instantid"
    ours, theirs = read_ip_adapter(run / "ip-adapter.bin"), read_ip_adapter(checkpoint)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_the_network_beside_it_is_refused(
    checkpoint: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    shutil.copy(checkpoint, tmp_path)
    lacking = (
        r"lacks ControlNetModel/config\.json, ControlNetModel/diffusion_pytorch_model\.safetensors; they belong "
        r"beside ip-adapter\.bin"
    )
    local = write_manifest(tmp_path, method="instantid", instantid={"checkpoint": str(tmp_path)})
    with pytest.raises(BolidError, match=lacking):
        train(local, tmp_path, steps=0, run="local")
    of_hub = write_manifest(tmp_path, method="instantid", instantid={"checkpoint": "somebody/instantid"})
    with serve(Hub({"somebody/instantid": {"main": {"ip-adapter.bin": checkpoint.read_bytes()}}})) as hub:
        visit(hub, tmp_path / "home", monkeypatch)
        with pytest.raises(BolidError, match=f"'somebody/instantid/ip-adapter.bin': .*{lacking}"):
            train(of_hub, tmp_path, steps=0, run="hub")


def test_a_published_checkpoint_generates_by_a_face(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    file = published.write_instantid(tmp_path, drawn_unet(), FACE, (16, 32, 96))
    network = write_face_encoder(tmp_path / "face.xml", FACE)
    table = {"checkpoint": str(file), "identity": "face", "face_encoder": str(network)}
    settings = write_manifest(tmp_path, method="instantid", instantid=table, objective={"detector": "tiny-keypoints"})
    train(settings, tmp_path, steps=0)
    run = tmp_path / "runs" / "instantid"
    ours, theirs = read_ip_adapter(run / "ip-adapter.bin"), read_ip_adapter(file)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "nothing was trained"
    photo = tmp_path / "photo.png"
    Image.fromarray(draw_split(replace(HELD_OUT, people=1)).images[0]).save(photo)
    pictures = {}
    for name, options in {
        "all": {}, "posed": {"pose": Path("walking")}, "copied": {"pose": photo}, "no face": {"scale_body": 0.0},
    }.items():  # fmt: skip
        request = Request("a person", tmp_path / f"{name}.png", photos=[photo], steps=1, seed=2, **options)
        pictures[name] = generate(tmp_path, settings, request)
    images = [Image.open(tmp_path / f"{name}.png") for name in pictures]
    assert len({image.tobytes() for image in images}) == 4
    assert (images[0].text["scale_body"], images[1].text["pose"]) == ("0.8", "walking")


def test_at_sdxls_size_names_shapes_and_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
        method = InstantId(train_model()(method="instantid"), {"image_embeds": (512,)})
        method.install(unet, Base.at("random", small_base()))
    shapes = {name: tuple(value.shape) for name, value in method.branches.tensors("body").items()}
    resampler = published.resampler_shapes(512, 1280, 16, 4, 2048, 1280)
    assert shapes == {f"image_proj.{name}": shape for name, shape in resampler.items()} | {
        f"ip_adapter.{name}": shape for name, shape in published.branch_shapes(unet).items()
    }
    sizes = {
        part: sum(value.numel() for name, value in method.branches.tensors("body").items() if name.startswith(part))
        for part in ("image_proj", "ip_adapter")
    }
    assert (len(resampler), sizes) == (51, {"image_proj": 81_978_624, "ip_adapter": 340_787_200})
    with torch.device("meta"):
        network = build(UNet2DConditionModel(**SDXL), _Sdxl())  # type: ignore[arg-type]
    assert sum(value.numel() for value in network.parameters()) == 1_251_014_160


class _Sdxl:
    vae_scale_factor = 8


def test_the_spec_names_what_guidance_keeps() -> None:
    assert registry.resolve("instantid").guided_conditions == ["text", "body"]


def test_a_step_at_sdxls_size_costs_what_the_page_says() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL).requires_grad_(False)
        method = InstantId(train_model()(method="instantid"), {"image_embeds": (512,)})
        method.install(unet, _Sdxl())  # type: ignore[arg-type]
    assert sum(value.numel() for value in method.parameters()) == 1_673_779_984
    denoiser = Denoiser(unet, DDPMScheduler())

    def loss() -> torch.Tensor:
        with torch.device("meta"):
            batch = Batch(
                latents=torch.empty(1, 4, 128, 128), keypoints=torch.empty(1, 17, 3),
                prompt_embeds=torch.empty(1, 77, 2048), pooled_prompt_embeds=torch.empty(1, 1280),
                time_ids=torch.empty(1, 6), views=Views.none(1), random=RowRandom([0], "meta"),
                features={"image_embeds": torch.empty(1, 512)},
            )  # fmt: skip
            return denoiser.loss(batch.latents, method.condition(batch)[0], batch.random)

    counted = flops.count(loss)
    assert (counted.forward / 1e12, counted.step / 1e12) == pytest.approx((9.77, 22.97), abs=0.01)

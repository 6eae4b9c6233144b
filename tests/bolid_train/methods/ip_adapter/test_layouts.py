"""Plus, Plus Face and Full Face: their published layouts, and training in them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_train.data.batch import Batch
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.sampler import sample
from bolid_train.inference.generate import Request, generate
from bolid_train.methods.ip_adapter.method import IpAdapter
from bolid_train.methods.protocol import Method
from bolid_train.settings import train_model
from bolid_train.training.trainer import train
from tests.support import published
from tests.support.drawn_batches import bare, drawn_batch, drawn_unet, fit, installed, predict
from tests.support.drawn_shards import write_manifest
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base

LAYOUTS = ("plus", "full-face")
STATES = (65, 96)  # of the small base's image encoder


def _batch(seed: int = 0) -> Batch:
    batch = drawn_batch(seed=seed)
    states = torch.randn(3, *STATES, generator=torch.Generator().manual_seed(seed))
    return replace(batch, features={**batch.features, "image_states": states})


def _without_photo() -> Batch:
    batch = _batch()
    return replace(batch, features={name: torch.zeros_like(value) for name, value in batch.features.items()})


def _write(layout: str, path: Path, text: int = 80) -> dict[str, Tensor]:
    shapes = published.resampler_shapes(STATES[1], 32, 6, 4, text, 128)  # diffusers knows depth 4 alone
    if layout == "full-face":
        shapes = published.full_face_shapes(STATES[1], text)
    parts = {
        "image_proj": published.drawn(shapes),
        "ip_adapter": published.drawn(published.branch_shapes(drawn_unet()), 1),
    }
    published.write(parts, path)
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_a_published_file_is_written_again_bit_for_bit(layout: str, suffix: str, tmp_path: Path) -> None:
    theirs = _write(layout, tmp_path / f"published{suffix}")
    method, unet = installed("ip-adapter", layout=layout)
    method.load_public(tmp_path / f"published{suffix}")
    method.save(tmp_path)
    ours = load_file(tmp_path / "ref.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again, other_unet = installed("ip-adapter", layout=layout, ref_from="published")
    again.load_public(tmp_path / "ref.safetensors")
    for batch in (_batch(), _without_photo()):
        with torch.no_grad():
            inputs = [one.condition(batch)[0] for one in (method, again)]
        assert torch.equal(predict(unet, batch, inputs[0]), predict(other_unet, batch, inputs[1]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stock_diffusers_generates_the_same_image(layout: str, tmp_path: Path) -> None:
    _write(layout, tmp_path / "published.safetensors")
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    method, unet = installed("ip-adapter", layout=layout)
    method.load_public(tmp_path / "published.safetensors")
    ours = StableDiffusionXLPipeline.from_pretrained(small_base(), unet=unet, add_watermarker=False, **texts)
    stock = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False, **texts)
    stock.load_ip_adapter(tmp_path, subfolder="", weight_name="published.safetensors", image_encoder_folder=None)
    stock.set_ip_adapter_scale(1.0)
    batch = _batch().select(slice(1))
    with torch.no_grad():
        positive, _ = method.condition(batch)
        negative = method.drop(method.drop(positive, "text"), "ref")
        [image] = sample(ours, positive, negative, 2, 5.0, 64, [3])
        grey = torch.zeros(1, 3, 64, 64)
        nothing = Base.at("random", small_base()).image_encoder_model()(grey, output_hidden_states=True)
    [expected] = stock(
        prompt_embeds=batch.prompt_embeds, pooled_prompt_embeds=batch.pooled_prompt_embeds,
        negative_prompt_embeds=torch.zeros_like(batch.prompt_embeds),
        negative_pooled_prompt_embeds=torch.zeros_like(batch.pooled_prompt_embeds),
        ip_adapter_image_embeds=[torch.cat([nothing.hidden_states[-2], batch.features["image_states"]])[:, None]],
        num_inference_steps=2, guidance_scale=5.0, height=64, width=64, generator=[torch.Generator().manual_seed(3)],
        output_type="pil",
    ).images  # fmt: skip
    difference = torch.tensor(list(image.tobytes())).int() - torch.tensor(list(expected.tobytes())).int()
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_learns_and_without_a_photo_it_is_the_base(layout: str) -> None:
    method, unet = installed("ip-adapter", layout=layout)
    losses = fit(method, unet, _batch(), 4)
    assert losses[-1] < losses[0]
    batch = _without_photo()
    with torch.no_grad():
        inputs, _ = method.condition(batch)
    assert torch.equal(predict(unet, batch, inputs), predict(drawn_unet(), batch, bare(batch)))


def test_a_run_in_the_plus_layout_trains_and_generates(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    settings = write_manifest(tmp_path, method="ip-adapter", **{"ip-adapter": {"layout": "plus"}})
    train(settings, tmp_path, steps=2)
    request = Request("a person", tmp_path / "x.png", steps=1)
    assert generate(tmp_path, settings, request)["pictures"] == [str(tmp_path / "x.png")]
    _write("plus", tmp_path / "plus.bin")
    table = {"ip-adapter": {"layout": "plus", "ref_from": "plus.bin"}}
    train(write_manifest(tmp_path, method="ip-adapter", **table), tmp_path, steps=0, run="published")
    theirs, ours = torch.load(tmp_path / "plus.bin"), load_file(tmp_path / "runs" / "published" / "ref.safetensors")
    assert all(torch.equal(ours[f"image_proj.{name}"], value) for name, value in theirs["image_proj"].items())


@pytest.mark.parametrize(("given", "expected"), [("plus", "full-face"), ("full-face", "plus"), ("plus", "plain")])
def test_a_file_of_another_layout_is_refused(given: str, expected: str, tmp_path: Path) -> None:
    _write(given, tmp_path / "published.bin")
    method, _ = installed("ip-adapter", layout=expected)
    refused = rf'published\.bin does not fit .*it lacks image_proj\..*it has image_proj\..*layout = "{given}"$'
    with pytest.raises(BolidError, match=refused):
        method.load_public(tmp_path / "published.bin")
    text = _write(given, tmp_path / "narrow.bin", text=16)
    assert text
    other: Method = installed("ip-adapter", layout=given)[0]
    with pytest.raises(BolidError, match="of another shape are image_proj"):
        other.load_public(tmp_path / "narrow.bin")


def test_at_sdxls_size_plus_is_the_published_file() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
        method = IpAdapter(train_model().model_validate({"method": "ip-adapter", "ip-adapter": {"layout": "plus"}}),
                           {"image_states": (257, 1280)})  # fmt: skip
        method.install(unet, Base.at("random", small_base()))
    tensors = method.branches.tensors("ref")
    resampler = published.resampler_shapes(1280, 1280, 16, 4, 2048, 1280)
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        f"image_proj.{name}": shape for name, shape in resampler.items()
    } | {f"ip_adapter.{name}": shape for name, shape in published.branch_shapes(unet).items()}
    assert sum(value.numel() for name, value in tensors.items() if name.startswith("image_proj")) == 82_961_664

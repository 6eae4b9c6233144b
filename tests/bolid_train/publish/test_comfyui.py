"""The kinds of IP-Adapters as ComfyUI's node tells them by names and shapes, and what it would refuse."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from bolid_train.methods.layers.branches import Branches
from bolid_train.publish.comfyui import ComfyUIError, ComfyUILayout, comfyui_layout, layout_of
from tests.support.drawn_batches import installed
from tests.support.sdxl import SDXL

Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(scope="module")
def plain() -> Shapes:
    """The shapes of a reference branch on SDXL."""
    with torch.device("meta"):
        branches = Branches(UNet2DConditionModel.from_config(SDXL), {"ref": 1280}, zero_tokens=True)
    return {name: tuple(tensor.shape) for name, tensor in branches.tensors("ref").items()}


def with_projection(plain: Shapes, **projection: tuple[int, ...]) -> Shapes:
    layers = {name: shape for name, shape in plain.items() if name.startswith("ip_adapter.")}
    return layers | {f"image_proj.{name}": shape for name, shape in projection.items()}


def test_a_branch_on_sdxl_is_a_plain_ip_adapter(plain: Shapes) -> None:
    assert layout_of(plain) == ComfyUILayout("plain", "SDXL", 1280)


@pytest.mark.parametrize(
    ("projection", "kind"),
    [
        ({"latents": (1, 16, 1280)}, "plus"),
        ({"proj.0.weight": (1280, 1280), "proj.2.weight": (2048, 1280), "proj.3.weight": (2048,)}, "full face"),
        ({"proj.0.weight": (1024, 512), "proj.2.weight": (8192, 1024)}, "portrait"),
        ({"perceiver_resampler.proj_in.weight": (2048, 1280)}, "faceid plus"),
    ],
)
def test_other_kinds_are_told_by_their_projection(plain: Shapes, projection: Shapes, kind: str) -> None:
    assert layout_of(with_projection(plain, **projection)) == ComfyUILayout(kind, "SDXL", None)


def test_lora_layers_make_it_a_faceid(plain: Shapes) -> None:
    assert layout_of(plain | {"ip_adapter.0.to_q_lora.down.weight": (128, 640)}).kind == "faceid"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ip_adapter.139.to_v_ip.weight": None}, "139.to_v_ip.weight is missing"),
        ({"ip_adapter.3.to_k_ip.weight": (1280, 2048)}, r"3.to_k_ip.weight is \(1280, 2048\).*SDXL"),
        ({"ip_adapter.1.to_k_ip.weight": (640, 80)}, "80 wide"),
        ({"image_proj.norm.bias": None}, "image_proj.norm.bias"),
        ({"image_proj.more.weight": (1,)}, "image_proj.more.weight"),
        ({"image_proj.proj.weight": (16 * 2048, 1280), "image_proj.proj.bias": (16 * 2048,)}, "4 tokens"),
    ],
)
def test_a_broken_rule_is_named(plain: Shapes, change: dict, rule: str) -> None:
    shapes = {name: shape for name, shape in (plain | change).items() if shape is not None}
    with pytest.raises(ComfyUIError, match=rule):
        layout_of(shapes)


def test_a_file_is_read_by_its_header(tmp_path: Path) -> None:
    method, _ = installed("bolid")
    method.save(tmp_path)
    with pytest.raises(ComfyUIError, match=r"ref\.safetensors: its text is 80 wide"):
        comfyui_layout(tmp_path / "ref.safetensors")
    save_file({"unet.x": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(ComfyUIError, match=r"lora\.safetensors: no tensor is named ip_adapter"):
        comfyui_layout(tmp_path / "lora.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ComfyUIError, match="cannot be read"):
        comfyui_layout(tmp_path / "text.safetensors")

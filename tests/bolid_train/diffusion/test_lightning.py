"""Lightning weights: fused for generation, switched on and off for training, and clear errors for what does not fit."""

import warnings
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from bolid_data.errors import BolidError, UsageError
from bolid_train.diffusion.lightning import attach, enabled, load, resolve
from bolid_train.methods.layers.branches import Branches
from small_world.pipeline import load_small_sdxl
from small_world.sdxl import FOLDER, LIGHTNING
from tests.support.small_base import small_base

WIDTHS = {"ref": 64, "body": 32}


def _unet(folder: Path = FOLDER) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder, subfolder="unet").requires_grad_(False)


def _predict(unet: UNet2DConditionModel) -> Tensor:
    """What the UNet says of the same noise and conditions each time."""
    random = torch.Generator().manual_seed(0)
    added = {
        "text_embeds": torch.randn(1, 128, generator=random),
        "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]),
        "image_embeds": [torch.randn(1, 1, width, generator=random) for width in WIDTHS.values()],
    }
    noisy = torch.randn(1, 8, 16, 16, generator=random)
    text = torch.randn(1, 77, 192, generator=random)
    return unet(noisy, torch.tensor([749]), text, added_cond_kwargs=added).sample


@pytest.fixture(scope="module")
def fused() -> UNet2DConditionModel:
    pipe = load_small_sdxl()
    load(pipe, LIGHTNING)
    return pipe.unet.requires_grad_(False)


def test_attached_weights_give_the_bare_unet_when_off_and_the_fused_one_when_on(fused: UNet2DConditionModel) -> None:
    unet = _unet()
    with torch.no_grad():
        bare = _predict(unet)
        attach(unet, LIGHTNING)
        assert torch.equal(_predict(unet), bare)
        with enabled(unet):
            assert torch.allclose(_predict(unet), _predict(fused), atol=1e-4)
            assert (_predict(unet) - bare).abs().max() > 0.05
        assert torch.equal(_predict(unet), bare)


def test_what_a_method_trains_stays_trained_and_nothing_else_is() -> None:
    unet = _unet()
    with torch.no_grad():
        branches = Branches(unet, WIDTHS, zero_tokens=True)
        expected = {id(parameter) for parameter in branches.trained_parameters()}
        bare = _predict(unet)
        attach(unet, LIGHTNING)
        assert torch.equal(_predict(unet), bare)
    for states in ("off", "on", "off again"):
        assert {id(value) for value in unet.parameters() if value.requires_grad} == expected, states
        with enabled(unet):
            assert {id(value) for value in unet.parameters() if value.requires_grad} == expected
            _predict(unet).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in branches.trained_parameters())
    assert not any(value.grad is not None for value in unet.parameters() if not value.requires_grad)


def test_a_methods_own_lora_layers_stay_on_and_trained_beside_it() -> None:
    unet = _unet()
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False), "person")
    with torch.no_grad():
        alone = _predict(unet)
        attach(unet, LIGHTNING)
        assert torch.equal(_predict(unet), alone)
        with enabled(unet):
            both = _predict(unet)
        assert torch.equal(_predict(unet), alone)
        lightning = _unet()
        attach(lightning, LIGHTNING)
        with enabled(lightning):
            assert (both - _predict(lightning)).abs().max() > 1e-3
    assert (both - alone).abs().max() > 0.05
    trained = {name for name, value in unet.named_parameters() if value.requires_grad}
    assert trained and all(".person." in name for name in trained)


def test_lora_layers_in_the_published_layout_are_the_same_weights(fused: UNet2DConditionModel, tmp_path: Path) -> None:
    """SDXL-Lightning's LoRA file has kohya's names: `lora_unet_…_to_q.lora_down.weight`, and an alpha a layer."""
    renamed: dict[str, Tensor] = {}
    for key, value in load_file(LIGHTNING).items():
        layer, part, _ = key.removeprefix("unet.").rsplit(".", 2)
        name = f"lora_unet_{layer.replace('.', '_')}"
        renamed[f"{name}.{'lora_down' if part == 'lora_A' else 'lora_up'}.weight"] = value
        renamed[f"{name}.alpha"] = torch.tensor(16.0)
    save_file(renamed, tmp_path / "published.safetensors")
    pipe, unet = load_small_sdxl(), _unet()
    load(pipe, tmp_path / "published.safetensors")
    attach(unet, tmp_path / "published.safetensors")
    with torch.no_grad(), enabled(unet):
        assert torch.allclose(_predict(pipe.unet), _predict(fused), atol=1e-5)
        assert torch.allclose(_predict(unet), _predict(fused), atol=1e-4)


def test_whole_unet_weights_replace_the_unet(fused: UNet2DConditionModel, tmp_path: Path) -> None:
    save_file(fused.state_dict(), tmp_path / "unet.safetensors")
    pipe = load_small_sdxl()
    load(pipe, tmp_path / "unet.safetensors")
    assert pipe.scheduler.config.timestep_spacing == "trailing"
    with torch.no_grad():
        assert torch.equal(_predict(pipe.unet), _predict(fused))
    with pytest.raises(UsageError, match="a full UNet; training needs"):
        attach(_unet(), tmp_path / "unet.safetensors")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    pipe, unet = load_small_sdxl(), _unet()
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]), "person")
    capfd.readouterr()
    with warnings.catch_warnings(action="error"):
        load(pipe, LIGHTNING)
        attach(unet, LIGHTNING)
    assert capfd.readouterr() == ("", "")


def test_weights_of_another_model_are_refused(tmp_path: Path, fused: UNet2DConditionModel) -> None:
    base = StableDiffusionXLPipeline.from_pretrained(small_base())
    with pytest.raises(BolidError, match="do not fit this base"):
        load(base, LIGHTNING)
    with pytest.raises(BolidError, match="do not fit this base"):
        attach(_unet(small_base()), LIGHTNING)
    save_file(fused.state_dict(), tmp_path / "unet.safetensors")
    with pytest.raises(BolidError, match="do not fit this base"):
        load(base, tmp_path / "unet.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(BolidError, match="cannot be read as safetensors"):
        load(base, tmp_path / "text.safetensors")


def test_weights_are_found_by_name_beside_the_manifest_or_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve("small-lightning", tmp_path) == LIGHTNING
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(LIGHTNING.read_bytes())
    assert resolve("mine.safetensors", tmp_path) == resolve(str(mine), Path()) == mine
    with pytest.raises(UsageError, match=r"gone\.safetensors.*name a \.safetensors file"):
        resolve("gone.safetensors", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BolidError, match="hf download ByteDance/SDXL-Lightning"):
        resolve("ByteDance/SDXL-Lightning/sdxl_lightning_4step_lora.safetensors", tmp_path)

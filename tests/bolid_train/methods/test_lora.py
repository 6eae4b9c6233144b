"""The LoRA of one person is a file like any other's."""

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel

from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base
from bolid_train.methods.lora.method import Lora
from small_world import sdxl
from tests.support.drawn_batches import bare, drawn_batch, drawn_unet, fit, installed, predict, small_settings
from tests.support.small_base import small_base


def test_stock_diffusers_takes_up_the_file_and_predicts_the_same(tmp_path: Path) -> None:
    batch = drawn_batch()
    method, unet = installed("lora", rank=4)
    fit(method, unet, batch, 3)
    assert method.save(tmp_path) == {"pytorch_lora_weights.safetensors": "lora"}
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae"))
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False, **texts)
    pipe.load_lora_weights(tmp_path)
    assert torch.equal(predict(pipe.unet, batch, bare(batch)), predict(unet, batch, bare(batch)))
    assert not torch.equal(predict(drawn_unet(), batch, bare(batch)), predict(unet, batch, bare(batch)))


def test_half_the_scale_is_half_the_lora_in_stock_diffusers(tmp_path: Path) -> None:
    batch = drawn_batch()
    method, unet = installed("lora", rank=4)
    fit(method, unet, batch, 1)
    method.save(tmp_path)
    stock = drawn_unet()
    stock.load_lora_adapter(tmp_path, weight_name="pytorch_lora_weights.safetensors", prefix="unet", adapter_name="one")
    stock.set_adapters(["one"], [0.5])
    method.scale("body", 0.5)
    torch.testing.assert_close(predict(unet, batch, bare(batch)), predict(stock, batch, bare(batch)))


def test_it_is_saved_alone_where_lightning_is_attached_too(tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(sdxl.FOLDER, subfolder="unet").requires_grad_(False)
    method = Lora(small_settings("lora"))
    method.install(unet, Base.at("small-sdxl", sdxl.FOLDER))
    method.save(tmp_path / "before")
    lightning.attach(unet, sdxl.LIGHTNING)
    method.save(tmp_path / "after")
    before, after = (
        (tmp_path / name / "pytorch_lora_weights.safetensors").read_bytes() for name in ("before", "after")
    )
    assert before == after and all(value.requires_grad for value in method.parameters())

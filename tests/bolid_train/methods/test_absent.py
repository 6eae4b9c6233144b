"""What a branch gets of a photo that is not given: nothing, also in the stock pipeline; old adapters keep their own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from bolid_train.diffusion.base import Base
from bolid_train.inference.pipeline import InferencePipeline
from bolid_train.methods import adapter
from bolid_train.methods.bolid.method import Bolid
from bolid_train.methods.bolid.settings import Settings
from bolid_train.settings import BranchSettings, method_settings
from tests.support.drawn_batches import drawn_batch, fit, installed, small_settings
from tests.support.small_base import small_base

BRANCHED = [name for name, model in method_settings().items() if issubclass(model, BranchSettings)]


@pytest.mark.parametrize("name", BRANCHED)
def test_an_embedding_of_zeros_becomes_tokens_of_zeros_also_after_training(name: str) -> None:
    method, unet = installed(name)
    fit(method, unet, drawn_batch(), 2)
    for branch, width in method.widths.items():
        nothing, something = (
            unet.encoder_hid_proj.tokens(branch, fill(1, 1, width)) for fill in (torch.zeros, torch.ones)
        )
        assert not nothing.any() and something.any()


@pytest.mark.parametrize("name", ["bolid", "ip-adapter", "ip-adapter-views"])  # those that there were
def test_of_old_runs_the_biases_are_trained(name: str) -> None:
    method, unet = installed(name, absent="projected_zeros")
    kept, _ = installed(name)
    assert len(list(method.parameters())) == len(list(kept.parameters())) + 2 * len(method.widths)
    fit(method, unet, drawn_batch(), 2)
    for width, layer in zip(method.widths.values(), unet.encoder_hid_proj.image_projection_layers, strict=True):
        assert layer(torch.zeros(1, width)).any()


def _stock(folder: Path) -> Callable[[list[Tensor], float], Tensor]:
    """Images of the stock pipeline with both branches, from embeddings (1, D) and a scale."""
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False, **texts)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter(
        [folder, folder],
        subfolder=["", ""],
        weight_name=["ref.safetensors", "body.safetensors"],
        image_encoder_folder=None,
    )
    batch = drawn_batch(1)

    def image(embeds: list[Tensor], scale: float) -> Tensor:
        pipe.set_ip_adapter_scale([scale, scale])
        return pipe(
            prompt_embeds=batch.prompt_embeds,
            pooled_prompt_embeds=batch.pooled_prompt_embeds,
            negative_prompt_embeds=torch.zeros_like(batch.prompt_embeds),
            negative_pooled_prompt_embeds=torch.zeros_like(batch.pooled_prompt_embeds),
            ip_adapter_image_embeds=[torch.stack([torch.zeros_like(one), one]) for one in embeds],
            num_inference_steps=2, height=64, width=64, output_type="pt", generator=torch.Generator().manual_seed(1),
        ).images  # fmt: skip

    return image


@pytest.mark.parametrize(("absent", "is_nothing"), [("zero_tokens", True), ("projected_zeros", False)])
def test_in_the_stock_pipeline_a_zero_embedding_is_scale_zero(absent: str, is_nothing: bool, tmp_path: Path) -> None:
    method, unet = installed("bolid", absent=absent)
    fit(method, unet, drawn_batch(), 2)
    method.save(tmp_path)
    image = _stock(tmp_path)
    zeros, some = ([change(1, width) for width in (64, 32)] for change in (torch.zeros, torch.ones))
    at_scale_0 = image(some, 0.0)
    assert torch.equal(image(zeros, 1.0), at_scale_0) == is_nothing
    assert not torch.equal(image(some, 1.0), at_scale_0)


def _published(folder: Path, absent: str) -> Path:
    """A finished run."""
    settings = small_settings("bolid", absent=absent, base=str(small_base()))
    base = Base.resolve(settings, folder)
    method, _ = installed("bolid", absent=absent)
    run = folder / "runs" / absent
    run.mkdir(parents=True)
    adapter.publish(run, method, settings, base, 0, [], folder)
    return run


def test_adapter_json_says_which_and_adapters_of_before_are_read_as_what_they_were(tmp_path: Path) -> None:
    run = _published(tmp_path, "zero_tokens")
    made = adapter.read(run)
    assert (made.version, made.settings["bolid"]["absent"]) == (4, "zero_tokens")
    old = Path(shutil.copytree(run, tmp_path / "runs" / "old"))
    text = (old / "adapter.json").read_text()
    (old / "adapter.json").write_text(text.replace('"version": 4', '"version": 2'))
    assert Settings.of(adapter.read(old).train_settings(old)).absent == "projected_zeros"
    pipeline = InferencePipeline.from_run(old, adapter.read(old), tmp_path)
    assert isinstance(pipeline.method, Bolid)
    biases = [layer.norm.bias for layer in pipeline.pipe.unet.encoder_hid_proj.image_projection_layers]
    trained = {id(value) for value in pipeline.method.parameters()}
    assert all(id(bias) in trained for bias in biases)

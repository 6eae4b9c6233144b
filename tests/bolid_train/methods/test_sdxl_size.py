"""The method on a UNet of SDXL's size. It is on the meta device: shapes and counts are true, and nothing is computed.

The published numbers: KOALA's table (Lee et al. 2024, 2312.04005) gives the UNet 2,567M parameters. A pass at
1280×1920 in DistriFusion (Li et al. 2024, 2402.19481, figure 1: 50 steps with guidance, so 100 passes) takes 907T MACs.
diffusers' own benchmarks give 5.979 TFLOP for a pass at 1024×1024, by a counter that leaves attention's products out.
The IP-Adapter for SDXL with ViT-H (`ip-adapter_sdxl_vit-h.safetensors`, float16) is a file of 698 MB.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.encoder import WIDTH
from bolid_train.methods.bolid.method import Bolid
from bolid_train.methods.layers.branches import Branches
from bolid_train.settings import train_model
from bolid_train.training import flops
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base

TEXT, TOKENS = 2048, 4
REF, BODY = 1024, 768  # ViT-H's image embedding, and the default c_body
TERA = 10**12
SDXL_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
}


def _unet() -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**SDXL).requires_grad_(False)


@cache
def _installed() -> tuple[UNet2DConditionModel, Bolid]:
    shapes = {"image_embeds": (REF,), "view_embeds": (REF,), "view_latents": (4, 64, 64)}
    base = Base.at("random", small_base())
    unet, method = _unet(), Bolid(train_model()(), shapes)
    with torch.device("meta"):
        method.install(unet, base)
    return unet, method


def _size(values: object) -> int:
    return sum(value.numel() for value in values)  # type: ignore[attr-defined]


def _branch(width: int) -> int:
    """Parameters of a branch: Linear to 4 tokens, LayerNorm, and K and V of 10 layers of 640 and 60 of 1280."""
    return _trained(width) + TOKENS * TEXT + TEXT


def _trained(width: int) -> int:
    """Those that are trained: not the biases, which stay at 0."""
    return width * TOKENS * TEXT + TEXT + 2 * TEXT * (10 * 640 + 60 * 1280)


def test_the_unet_is_the_published_one() -> None:
    unet = _unet()
    assert _size(unet.parameters()) == 2_567_463_684
    assert sum(name.endswith("attn2.processor") for name in unet.attn_processors) == 70


def test_what_is_trained_is_as_large_as_the_formula_says() -> None:
    unet, method = _installed()
    projections = WIDTH * (REF + 136 + 17 + 17 * 4 * 9 + 3) + 2 * REF
    mix = 2 * WIDTH + 4 * WIDTH**2 + 3 * WIDTH
    heads = 2 * WIDTH + 2 * (WIDTH + 1) * BODY + (BODY + 1) * 7
    trained = list(method.parameters())
    assert len(method.branches.tensors("ref")) == 4 + 2 * 70
    assert _size(method.branches.trained_parameters()) == _trained(REF) + _trained(BODY) == 696_258_560
    assert _size(method.encoder.parameters()) == projections + mix + heads
    assert _size(trained) == _trained(REF) + _trained(BODY) + projections + mix + heads
    assert {id(value) for value in unet.parameters() if value.requires_grad} <= {id(value) for value in trained}


def test_a_branch_is_as_large_as_the_published_ip_adapter() -> None:
    assert 2 * _branch(REF) / 1e6 == pytest.approx(698, abs=1)


def test_a_pass_costs_what_is_published() -> None:
    unet = _unet()
    square, large = (_forward(unet, *size) for size in ((128, 128), (160, 240)))
    attention = square["bmm"]
    assert sum(large.values()) / 2 * 100 / TERA == pytest.approx(907, abs=0.5)
    assert (sum(square.values()) - attention) / TERA == pytest.approx(5.979, abs=0.005)
    assert sum(square.values()) / TERA == pytest.approx(6.761, abs=0.001)


def _forward(unet: UNet2DConditionModel, height: int, width: int) -> dict[str, int]:
    """FLOPs by operator; on the meta device attention is two batched products."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        added = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        unet(torch.empty(1, 4, height, width), torch.empty(1), torch.empty(1, 77, TEXT), added_cond_kwargs=added)
    return {str(name).removeprefix("aten."): number for name, number in counter.get_flop_counts()["Global"].items()}


def test_a_training_step_costs_twice_a_pass_and_reaches_all_that_is_trained() -> None:
    unet, method = _installed()
    denoiser = Denoiser(unet, DDPMScheduler())
    counted = flops.count(lambda: _loss(denoiser, method))
    assert counted.forward / TERA == pytest.approx(6.761, rel=0.002)  # the adapter's own part is a thousandth
    assert counted.step / counted.forward == pytest.approx(2.07, abs=0.01)
    assert all(value.grad is not None for value in _without_proportions(method))
    assert all(value.grad is None for name, value in unet.named_parameters() if not value.requires_grad)


def _loss(denoiser: Denoiser, method: Bolid) -> torch.Tensor:
    with torch.device("meta"):
        views = BodyViews(
            torch.empty(1, 8, REF),
            torch.empty(1, 8, 4, 64, 64),
            torch.empty(1, 8, 17, 3),
            torch.empty(1, 8, 2),
            torch.empty(1, 8),
        )
        random = RowRandom([0], "meta")
        body = method.encoder(views).sample(random.normal("body", BODY))
        added = {
            "text_embeds": torch.empty(1, 1280),
            "time_ids": torch.empty(1, 6),
            "image_embeds": [torch.empty(1, 1, REF), body[:, None]],
        }
        inputs = UNetInputs(torch.empty(1, 77, TEXT), added)
        return denoiser.loss(torch.empty(1, 4, 128, 128), inputs, random)


def _without_proportions(method: Bolid) -> list[nn.Parameter]:
    """`proportions` reads the body for a term of its own."""
    own = {id(value) for value in method.encoder.proportions.parameters()}
    return [value for value in method.parameters() if id(value) not in own]


class _FusedAttention(torch.autograd.Function):
    """Attention that keeps what a fused kernel keeps; on the meta device torch would keep the scores as well."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        output, log_sum = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, log_sum)
        return output


def _kept(forward: Callable[[], object], weights: Iterable[nn.Parameter]) -> float:
    """GB that autograd keeps of a forward pass, besides the weights themselves."""
    own, kept = {value.untyped_storage()._cdata for value in weights}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result
    return sum(kept.values()) / 1e9


def test_activations_are_as_large_as_the_page_on_training_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **_: object) -> torch.Tensor:
        return _FusedAttention.apply(query, key, value)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    monkeypatch.setattr("bolid_train.methods.layers.attention.scaled_dot_product_attention", attend)
    unet = _unet().to(torch.bfloat16)
    with torch.device("meta"):
        Branches(unet, {"ref": REF, "body": BODY}, zero_tokens=True)
        vae = AutoencoderKL(**SDXL_VAE).requires_grad_(False).to(torch.bfloat16)
    denoiser = Denoiser(unet, DDPMScheduler())

    def step(photos: int) -> float:
        with torch.device("meta"):
            added = {
                "text_embeds": torch.empty(photos, 1280),
                "time_ids": torch.empty(photos, 6),
                "image_embeds": [torch.empty(photos, 1, width, requires_grad=True) for width in (REF, BODY)],
            }
            inputs = UNetInputs(torch.empty(photos, 77, TEXT), added)
            noisy = torch.empty(photos, 4, 128, 128)
            return _kept(lambda: denoiser(noisy, torch.empty(photos), inputs), unet.parameters())

    def decoder() -> float:
        latents = torch.empty(1, 4, 128, 128, device="meta", dtype=torch.bfloat16, requires_grad=True)
        return _kept(lambda: vae.decode(latents).sample, vae.parameters())

    copies = 2 * 2 * (10 * 640 + 60 * 1280) * 2 * TEXT / 1e9  # of K and V of both branches in bfloat16
    assert step(2) - step(1) == pytest.approx(5.6, abs=0.05)
    assert 2 * step(1) - step(2) == pytest.approx(copies, abs=0.01) == pytest.approx(1.4, abs=0.05)
    assert decoder() == pytest.approx(11.9, abs=0.05)
    unet.enable_gradient_checkpointing()
    vae.enable_gradient_checkpointing()
    assert step(2) - step(1) == pytest.approx(0.48, abs=0.02)
    assert decoder() == pytest.approx(1.7, abs=0.05)

"""The method on a UNet of SDXL's size. It is on the meta device: shapes and counts are true, and nothing is computed.

The published numbers: KOALA's table (Lee et al. 2024, 2312.04005) gives the UNet 2,567M parameters. A pass at
1280×1920 in DistriFusion (Li et al. 2024, 2402.19481, figure 1: 50 steps with guidance, so 100 passes) takes 907T MACs.
diffusers' own benchmarks give 5.979 TFLOP for a pass at 1024×1024, by a counter that leaves attention's products out.
The IP-Adapter for SDXL with ViT-H (`ip-adapter_sdxl_vit-h.safetensors`, float16) is a file of 698 MB.
"""

from functools import cache

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.encoder import WIDTH
from bolid_train.methods.bolid.method import Bolid
from bolid_train.settings import train_model
from bolid_train.training import flops
from tests.support.sdxl import SDXL
from tests.support.small_base import small_base

TEXT, TOKENS = 2048, 4
REF, BODY = 1024, 768  # ViT-H's image embedding, and the default c_body
TERA = 10**12


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
    assert len(method.branches.processors) == 70
    assert _size(method.branches.parameters()) == _trained(REF) + _trained(BODY) == 696_258_560
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

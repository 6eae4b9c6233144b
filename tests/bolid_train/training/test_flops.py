"""FLOPs and MFU, against counts made by hand."""

import pytest
import torch
from torch import nn

from bolid_data.manifest import ObjectiveSettings
from bolid_train.diffusion.base import Base
from bolid_train.training.flops import (
    PEAKS,
    count,
    decoder_flops,
    estimate_mfu,
    peak_flops,
    step_flops,
    unet_flops,
)
from small_world.sdxl import FOLDER, build_unet


def test_a_frozen_layer_costs_as_much_back_as_forward() -> None:
    layer, values = nn.Linear(30, 50).requires_grad_(False), torch.zeros(7, 30, requires_grad=True)
    flops = count(lambda: layer(values))
    assert (flops.forward, flops.backward, flops.step) == (2 * 7 * 30 * 50, 2 * 7 * 30 * 50, 4 * 7 * 30 * 50)


def test_a_trained_layer_costs_twice_as_much_back() -> None:
    layer, values = nn.Linear(30, 50), torch.zeros(7, 30, requires_grad=True)
    flops = count(lambda: layer(values))
    assert flops.backward == 2 * flops.forward


def test_attention_is_counted() -> None:
    heads = torch.zeros(2, 3, 11, 8, requires_grad=True, device="meta")
    flops = count(lambda: nn.functional.scaled_dot_product_attention(heads, heads, heads))
    assert flops.forward == 2 * (2 * 2 * 3 * 11 * 11 * 8)


def test_a_run_at_peak_has_an_mfu_of_one() -> None:
    assert estimate_mfu(14e12, 312e12 / 14e12, PEAKS["NVIDIA A100-SXM4-80GB"]) == pytest.approx(1)
    assert estimate_mfu(14e12, 10.0, 989e12) == pytest.approx(0.1416, abs=1e-4)


def test_no_mfu_is_claimed_where_the_peak_is_not_known() -> None:
    assert estimate_mfu(14e12, 10.0, peak_flops(torch.device("cpu"))) is None


def test_a_frozen_unet_costs_about_twice_a_pass_and_four_times_more_at_twice_the_side() -> None:
    config = build_unet().config
    small, large = unet_flops(config, 16, 16), unet_flops(config, 32, 32)
    assert 1.8 < small.step / small.forward < 2.2
    assert 3.8 < large.forward / small.forward < 4  # what is done to the prompt does not grow


def test_a_step_counts_the_images_that_losses_need() -> None:
    base, unet = Base.at("small-sdxl", FOLDER), build_unet().config
    diffusion = unet_flops(unet, 16, 16)
    assert step_flops(base, unet, ObjectiveSettings(), 16, 16) == diffusion.step
    one = step_flops(base, unet, ObjectiveSettings(identity=1.0, share=0.5), 16, 16)
    decoder = decoder_flops(base.vae_config, 16, 16)
    assert 0 < decoder.forward < decoder.backward < 1.2 * decoder.forward, "frozen"
    assert one == diffusion.step + 0.5 * (diffusion.step + decoder.step)
    four = step_flops(base, unet, ObjectiveSettings(clip_text=1.0, share=0.5, pictures="lightning"), 16, 16)
    assert four - one == 0.5 * 3 * diffusion.forward

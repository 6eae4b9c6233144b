"""Counts that are the same on every machine: operators of a step, and what autograd keeps for the backward pass."""

from collections.abc import Callable
from functools import partial

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.accelerator.page import Page
from benchmarks.accelerator.workbench import Workbench
from tests.support.operators import count_operators, saved_bytes

_BATCH = 2


_VARIANTS = {
    "pure bfloat16": (torch.bfloat16, False),
    "autocast over bfloat16 weights": (torch.bfloat16, True),
    "autocast over float32 weights": (torch.float32, True),
}
"""The weights' type, and whether under autocast to bfloat16."""


def measure_operators(bench: Workbench, page: Page) -> None:
    """The stock UNet with and without autocast, and a step of ours."""
    if bench.device.type == "cpu":
        page.note("Autocast on a CPU leaves normalisations in bfloat16; on an accelerator it converts them, too.")
    table = page.table("what", "operators", "of which conversions", "MB kept for the backward pass, per photo")
    for name, (dtype, autocast) in _VARIANTS.items():
        unet = UNet2DConditionModel.from_pretrained(bench.base_folder, subfolder="unet", dtype=dtype)
        unet = unet.requires_grad_(False).to(bench.device)
        forward = _forward(unet, autocast, bench)
        kept = saved_bytes(forward, list(unet.parameters())) / _BATCH
        counts = count_operators(partial(_backward, forward))
        row = f"the stock UNet, forward and backward, {name}"
        table.add(row, counts.total(), counts["_to_copy"], f"{kept / 1e6:.3g}")
    training = bench.training(bench.manifest())
    bench.resize(training, _BATCH)
    batches = training.load(1)
    training.step(batches)  # the first also creates the optimizer's state
    step = partial(training.step, batches)
    counts = count_operators(step)
    kept = saved_bytes(step, [*training.unet.parameters(), *training.method.parameters()]) / _BATCH
    row = "a step of stage 1, with clipping, AdamW and EMA"
    table.add(row, counts.total(), counts["_to_copy"], f"{kept / 1e6:.3g}")
    most = ", ".join(f"{name} {count}" for name, count in counts.most_common(8))
    page.note(f"Most frequent in a step: {most}.")


def _backward(forward: Callable[[], Tensor]) -> None:
    forward().backward()


def _forward(unet: UNet2DConditionModel, autocast: bool, bench: Workbench) -> Callable[[], Tensor]:
    """The mean of a prediction on random inputs: in the weights' type, or in float32 under autocast, which converts
    them."""
    dtype = torch.float32 if autocast else unet.dtype
    config, side = unet.config, unet.config.sample_size
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device=bench.device, dtype=dtype)

    noisy, timesteps = normal(_BATCH, 4, side, side), torch.full((_BATCH,), 500, device=bench.device)
    prompt = normal(_BATCH, 77, config.cross_attention_dim).requires_grad_()
    added = {"text_embeds": normal(_BATCH, pooled), "time_ids": normal(_BATCH, 6)}

    def forward() -> Tensor:
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=autocast):
            return unet(noisy, timesteps, prompt, added_cond_kwargs=added).sample.float().mean()

    return forward

"""In which type each model runs is decided in one place, and trained weights are always in float32."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.precision import (
    FULL,
    Precision,
    encoding_precision,
    generation_precision,
    mixed_precision,
    training_precision,
)
from bolid_train.diffusion.sampler import sample
from bolid_train.losses import ImageLosses
from bolid_train.methods import registry
from bolid_train.methods.lora.method import Lora
from bolid_train.training.step import make_accelerator
from tests.support.drawn_batches import drawn_batch, drawn_unet, small_settings
from tests.support.small_base import small_base

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
BASE = Base.at("random", small_base())


def test_on_a_cpu_training_is_in_what_is_asked_for_and_all_else_in_full() -> None:
    assert training_precision(Train(), CPU) == training_precision(Train(mixed_precision="no"), CPU) == FULL
    assert training_precision(Train(mixed_precision="bf16"), CPU) == Precision(BF16, BF16)
    assert encoding_precision(Train(mixed_precision="bf16"), CPU) == generation_precision(CPU) == FULL
    with pytest.raises(UsageError, match='"fp16" needs an accelerator'):
        make_accelerator(Train(mixed_precision="fp16"))


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_an_accelerator_does_what_is_asked_for_and_never_decodes_in_float16(
    has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a card can do is the one thing that cannot be had without it.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bfloat16)
    full = Train(mixed_precision="no")
    assert training_precision(full, CUDA) == encoding_precision(full, CUDA) == FULL
    vae = BF16 if has_bfloat16 else FP32
    assert training_precision(Train(mixed_precision="fp16"), CUDA) == Precision(FP16, vae)
    expected = Precision(BF16, BF16) if has_bfloat16 else Precision(FP16, FP32)
    assert training_precision(Train(), CUDA) == encoding_precision(Train(), CUDA) == expected
    assert generation_precision(CUDA) == expected
    if not has_bfloat16:
        with pytest.raises(UsageError, match='"bf16": this accelerator has no bfloat16; take "fp16" or "no"'):
            mixed_precision(Train(mixed_precision="bf16"), CUDA)


def test_the_pipeline_is_loaded_in_the_types_of_the_precision() -> None:
    pipe = BASE.pipeline(CPU, Precision(FP16, FP32))
    assert {model.dtype for model in (pipe.unet, pipe.text_encoder, pipe.text_encoder_2, pipe.image_encoder)} == {FP16}
    assert pipe.vae.dtype == FP32
    pipe = BASE.pipeline(CPU)
    assert {model.dtype for model in (pipe.unet, pipe.text_encoder, pipe.image_encoder, pipe.vae)} == {FP32}


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("dtype", [BF16, FP16])
def test_every_method_trains_in_float32_on_a_unet_in_half(name: str, dtype: torch.dtype) -> None:
    batch, losses = drawn_batch(), {}
    for of_unet in (FP32, dtype):
        unet = drawn_unet().to(of_unet)
        torch.manual_seed(0)
        method = registry.resolve(name).make(small_settings(name), BASE)
        method.install(unet, BASE)
        denoiser = Denoiser(unet, DDPMScheduler.from_pretrained(small_base(), subfolder="scheduler"))
        trained = list(method.parameters())
        assert {value.dtype for value in trained} <= {FP32} and unet.dtype == of_unet
        inputs, state = method.condition(batch)
        loss = denoiser.loss(batch.latents, inputs, batch.random)
        assert loss.dtype == FP32
        losses[of_unet] = loss.item()
        if trained:
            (loss + sum(method.losses(denoiser, batch, state).values())).backward()
            gradients = [value.grad for value in trained if value.grad is not None]
            assert len(gradients) > len(trained) / 2 and all(value.isfinite().all() for value in gradients)
            assert {value.dtype for value in gradients} == {FP32}
    assert losses[dtype] == pytest.approx(losses[FP32], rel=0.02)


def test_generation_keeps_what_every_step_uses_in_the_unets_type_and_latents_in_float32() -> None:
    images: dict[torch.dtype, Tensor] = {}
    for dtype in (FP32, BF16):
        pipe = BASE.pipeline(CPU, Precision(dtype, dtype))
        torch.manual_seed(0)
        method = registry.resolve("bolid").make(small_settings("bolid"), BASE)
        method.install(pipe.unet, BASE)
        method.freeze()
        assert {value.dtype for value in method.branches.to_kv} == {dtype}
        assert not any(value.requires_grad for value in method.branches.parameters())
        latents: list[Tensor] = []
        hook = pipe.unet.register_forward_hook(lambda *args, latents=latents: latents.append(args[-1][0]))
        with torch.inference_mode():
            inputs, _ = method.condition(drawn_batch(1))
            negative = method.drop(method.drop(inputs, "ref"), "body")
            [image] = sample(pipe, inputs, negative, 3, 5.0, 64, [3])
        hook.remove()
        assert len(latents) == 3 and pipe.unet.dtype == dtype
        images[dtype] = torch.tensor(list(image.tobytes()), dtype=torch.float32)
    assert (images[FP32] - images[BF16]).abs().mean() < 8, "of 255"


def test_a_lora_is_in_float32_on_a_unet_in_half() -> None:
    unet = drawn_unet().to(BF16)
    method = Lora(small_settings("lora"))
    method.install(unet, BASE)
    assert {value.dtype for value in method.parameters()} == {FP32} and unet.dtype == BF16


def test_image_losses_in_half_are_near_those_in_full(tmp_path: Path) -> None:
    batch = drawn_batch()
    batch = replace(batch, reference_keypoints=batch.keypoints)
    terms = []
    for precision in ("no", "bf16"):
        objective = {
            "identity": 1.0,
            "detector": "tiny-keypoints",
            "share": 1.0,
            "min_timestep": 1,
            "max_timestep": 100,
        }
        settings = small_settings("bolid", mixed_precision=precision, objective=objective)
        losses = ImageLosses.from_settings(BASE, settings, CPU, tmp_path)
        assert losses
        denoiser = Denoiser.from_settings(BASE, settings, CPU)
        torch.manual_seed(0)
        method = registry.resolve("bolid").make(settings, BASE)
        method.install(denoiser.unet, BASE)
        images = losses.decode(batch.latents)
        assert images.dtype == FP32
        terms.append(losses(denoiser, method.condition(batch)[0], batch)["identity"].item())
    assert terms[1] == pytest.approx(terms[0], rel=0.1)

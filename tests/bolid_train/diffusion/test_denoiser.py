"""What the denoiser computes with its schedule is what the papers and the stock pipeline say."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from bolid_data.errors import BolidError
from bolid_data.manifest import ObjectiveSettings, Train
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.diffusion.rng import RowRandom
from bolid_train.diffusion.unet_inputs import UNetInputs
from small_world.pipeline import load_small_lightning
from small_world.sdxl import FOLDER
from tests.support.small_base import small_base

CPU = torch.device("cpu")
KINDS = ["epsilon", "v_prediction"]


class Knowing:
    """In the place of a UNet: knows the latents behind the noise, or says nothing but zeros."""

    dtype = torch.float32

    def __init__(self, scheduler: DDPMScheduler, latents: Tensor | None = None) -> None:
        self.scheduler, self.latents = scheduler, latents

    def __call__(self, noisy: Tensor, timesteps: Tensor, **_: Any) -> SimpleNamespace:
        if self.latents is None:
            return SimpleNamespace(sample=torch.zeros_like(noisy))
        alpha_2 = self.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noise = (noisy - alpha_2.sqrt() * self.latents) / (1 - alpha_2).sqrt()
        velocity = alpha_2.sqrt() * noise - (1 - alpha_2).sqrt() * self.latents
        is_noise = self.scheduler.config.prediction_type == "epsilon"
        return SimpleNamespace(sample=noise if is_noise else velocity)


def _scheduler(kind: str) -> DDPMScheduler:
    return DDPMScheduler.from_pretrained(small_base(), subfolder="scheduler", prediction_type=kind)


def _inputs(rows: int, text: int = 80, pooled: int = 48) -> UNetInputs:
    random = torch.Generator().manual_seed(1)
    return UNetInputs(
        torch.randn(rows, 7, text, generator=random),
        {
            "text_embeds": torch.randn(rows, pooled, generator=random),
            "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(rows, -1),
        },
    )


def _small_sdxl(**settings: Any) -> Denoiser:
    """The committed one, for Lightning pictures."""
    train = Train(objective=ObjectiveSettings(pictures="lightning", identity=1.0), **settings)
    return Denoiser.from_settings(Base.at("small-sdxl", FOLDER), train, CPU)


@pytest.mark.parametrize("kind", KINDS)
def test_knowing_the_noise_gives_the_true_picture_in_one_step_and_no_loss(kind: str) -> None:
    latents, scheduler = torch.randn(5, 4, 8, 8), _scheduler(kind)
    denoiser = Denoiser(Knowing(scheduler, latents), scheduler)  # type: ignore[arg-type]
    estimate = denoiser.clean(latents, _inputs(5), RowRandom(range(5)), 1, 1000)
    torch.testing.assert_close(estimate, latents, atol=1e-3, rtol=0)
    assert denoiser.loss(latents, _inputs(5), RowRandom(range(5))).item() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_the_loss_is_of_noise_or_velocity_and_weighted_by_min_snr(kind: str, gamma: float | None) -> None:
    latents, random, scheduler = torch.randn(6, 4, 8, 8), RowRandom(range(6)), _scheduler(kind)
    expected = []
    for row, (noise, t) in enumerate(
        zip(random.normal("noise", 4, 8, 8), random.integers("timestep", 1000), strict=True)
    ):
        alpha_2 = float(scheduler.alphas_cumprod[t])
        snr = alpha_2 / (1 - alpha_2)
        velocity = alpha_2**0.5 * noise - (1 - alpha_2) ** 0.5 * latents[row]
        target, divisor = (noise, snr) if kind == "epsilon" else (velocity, snr + 1)
        weight = 1.0 if gamma is None else min(snr, gamma) / divisor
        expected.append(weight * target.square().mean().item())
    denoiser = Denoiser(Knowing(scheduler), scheduler, gamma)  # type: ignore[arg-type]
    assert denoiser.loss(latents, _inputs(6), random).item() == pytest.approx(sum(expected) / 6, rel=1e-4)


def test_a_base_that_predicts_something_else_is_refused() -> None:
    with pytest.raises(BolidError, match="'sample'"):
        Denoiser(Knowing(_scheduler("sample")), _scheduler("sample"))  # type: ignore[arg-type]


def test_estimates_start_from_the_timesteps_given() -> None:
    seen: list[Tensor] = []
    denoiser = Denoiser.from_settings(Base.at("random", small_base()), Train(), CPU)
    denoiser.unet.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    with torch.no_grad():
        denoiser.clean(torch.randn(40, 4, 4, 4), _inputs(40), RowRandom(range(40)), 2, 4)
    assert set(seen[0].tolist()) == {2, 3, 4}


def test_later_timesteps_are_drawn_in_proportion_to_them() -> None:
    settings = Train(objective=ObjectiveSettings(timestep_bias="later"))
    denoiser, seen = Denoiser.from_settings(Base.at("random", small_base()), settings, CPU), []
    denoiser.unet.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    with torch.no_grad():
        denoiser.loss(torch.randn(300, 4, 8, 8), _inputs(300), RowRandom(range(300)))
    assert seen[0].double().mean() == pytest.approx(1000 * 2 / 3, abs=40), "1000 / 2 when they are uniform"
    assert seen[0].min() >= 0 and seen[0].max() <= 999


def test_the_parts_of_a_batch_have_the_losses_of_the_whole() -> None:
    denoiser = Denoiser.from_settings(
        Base.at("random", small_base()), Train(objective=ObjectiveSettings(min_snr=5)), CPU
    )
    latents, inputs, random = torch.randn(4, 4, 16, 16), _inputs(4), RowRandom(range(4))
    parts = [slice(part, None, 2) for part in range(2)]
    with torch.no_grad():
        whole = denoiser.loss(latents, inputs, random)
        halves = [denoiser.loss(latents[part], inputs.rows(part), random.select(part)) for part in parts]
    assert whole.item() == pytest.approx(sum(halves).item() / 2, rel=1e-5)


def test_lightning_draws_what_the_stock_pipeline_draws() -> None:
    pipe, denoiser, random = load_small_lightning(), _small_sdxl(), RowRandom([3, 4])
    captions = ["a photo of a person", "a photo of a person, in a red top"]
    with torch.no_grad():
        embeds, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
        stock = pipe(
            captions,
            num_inference_steps=4,
            guidance_scale=0,
            latents=random.normal("lightning noise", 8, 16, 16),
            output_type="latent",
        ).images
        time_ids = torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(2, -1)
        inputs = UNetInputs(embeds, {"text_embeds": pooled, "time_ids": time_ids})
        ours = denoiser.lightning(inputs, random, (8, 16, 16), first=3)
    torch.testing.assert_close(ours, stock, atol=1e-3, rtol=0)


def test_lightnings_pictures_are_of_a_step_drawn_per_row_and_only_that_one_is_differentiated() -> None:
    denoiser, seen = _small_sdxl(), []
    denoiser.unet.register_forward_hook(lambda _, args, __: seen.append((args[1].tolist(), torch.is_grad_enabled())))
    denoiser.lightning(_inputs(8, 192, 128), RowRandom(range(8)), (8, 16, 16), first=1)
    assert seen[:3] == [([step] * 8, False) for step in (999, 749, 499)]
    assert len(seen) == 4 and set(seen[3][0]) == {749, 499, 249} and seen[3][1]


def test_lightning_and_estimates_are_the_same_with_a_base_that_predicts_velocity() -> None:
    inputs, random, latents = _inputs(2, 192, 128), RowRandom([1, 2]), torch.randn(2, 8, 16, 16)

    def velocity(_: Any, args: tuple[Tensor, Tensor], __: Any, output: Any) -> Any:
        alpha_2 = denoiser.scheduler.alphas_cumprod[args[1].long()].view(-1, 1, 1, 1)
        output.sample = (output.sample - (1 - alpha_2).sqrt() * args[0]) / alpha_2.sqrt()
        return output

    denoiser = _small_sdxl()
    drawn = []
    with torch.no_grad():
        for kind in KINDS:
            denoiser.scheduler = _scheduler(kind)
            if kind == "v_prediction":
                denoiser.unet.register_forward_hook(velocity, with_kwargs=True)
            drawn.append(denoiser.lightning(inputs, random, (8, 16, 16)))
            drawn.append(denoiser.clean(latents, inputs, random, 1, 400))
    torch.testing.assert_close(drawn[0], drawn[2], atol=1e-2, rtol=0)  # the first step divides by α = 0.07
    torch.testing.assert_close(drawn[1], drawn[3], atol=1e-3, rtol=0)


@pytest.mark.parametrize("pictures", ["clean", "lightning"])
def test_gradients_pass_the_unet_and_are_the_same_with_gradient_checkpointing(pictures: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        denoiser = _small_sdxl(gradient_checkpointing=checkpointing)
        inputs, random = _inputs(1, 192, 128), RowRandom([1])
        text = inputs.encoder_hidden_states.requires_grad_()
        latents = torch.ones(1, 8, 16, 16)
        if pictures == "clean":
            made = denoiser.clean(latents, inputs, random, 1, 400)
        else:
            made = denoiser.lightning(inputs, random, (8, 16, 16))
        # Both ways through the UNet in one backward pass, as in training.
        (made.square().sum() + denoiser.loss(latents, inputs, random)).backward()
        assert text.grad is not None and text.grad.abs().sum() > 0
        assert all(value.grad is None and not value.requires_grad for value in denoiser.unet.parameters())
        gradients.append(text.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5 * float(gradients[0].abs().max()))


def test_without_lightning_weights_the_error_says_which_setting_asks_for_them() -> None:
    denoiser = Denoiser.from_settings(Base.at("random", small_base()), Train(), CPU)
    with pytest.raises(BolidError, match="pictures"):
        denoiser.lightning(_inputs(1), RowRandom([0]), (4, 16, 16))


def test_the_same_is_seen_at_later_timesteps_of_larger_latents() -> None:
    denoiser = _small_sdxl()
    timesteps = torch.tensor([1, 22, 400, 850])
    assert denoiser.shifted(timesteps, 16, 16).tolist() == timesteps.tolist()
    at_1024 = denoiser.shifted(timesteps, 128, 128).tolist()
    assert at_1024[1] == pytest.approx(400, abs=2) and at_1024[2] == pytest.approx(921, abs=2)
    assert at_1024[3] == 999, "no timestep is late enough"
    assert denoiser.shifted(timesteps, 256, 64).tolist() == at_1024, "as many pixels"


def test_noise_hides_an_image_of_twice_the_side_as_much_at_the_shifted_timestep() -> None:
    denoiser, generator = _small_sdxl(), torch.Generator().manual_seed(0)
    small = torch.randn(64, 1, 16, 16, generator=generator)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    errors = []
    for latents, timesteps in ((small, torch.tensor([300])), (large, denoiser.shifted(torch.tensor([300]), 32, 32))):
        alpha_2 = denoiser.scheduler.alphas_cumprod[timesteps].item()
        noise = torch.randn(latents.shape, generator=generator)
        estimate = latents + ((1 - alpha_2) / alpha_2) ** 0.5 * noise
        estimate = torch.nn.functional.avg_pool2d(estimate, latents.shape[2] // 16)
        errors.append((estimate - small).std().item())
    assert errors[0] == pytest.approx(errors[1], rel=0.03)

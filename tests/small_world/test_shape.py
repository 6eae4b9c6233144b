"""The shape judge: what it reads of one picture and of several, and its training."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bolid_train.embedded.shape import SHAPE, ShapeNetwork, agreement, together
from small_world.body_shape import shape_of, standardized, unstandardized
from small_world.check.shape import Judged, combined, details, errors, figures, likeness, read
from small_world.pixels import pixels
from small_world.training import shape as training
from small_world.training.command import write_weights
from small_world.training.loop import Schedule
from small_world.world3d.photos import Photos
from small_world.worlds import WORLD_3D


def test_training_keeps_only_the_judge_whose_weights_are_read_again(few: Photos, tmp_path: Path) -> None:
    trained = training.train(few, tmp_path, Schedule(steps=1, learning_rate=1e-3))
    write_weights(trained, tmp_path / "shape.safetensors")
    state = load_file(tmp_path / "shape.safetensors")
    assert not any("facing" in name for name in state)
    again = ShapeNetwork().eval()
    again.load_state_dict(state)
    images = pixels(few, torch.arange(4))
    for one, other in zip(trained(images), again(images), strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)  # weights are kept in half precision


def test_every_picture_gets_a_value_and_a_variance_and_pictures_of_other_sizes_do_too(few: Photos) -> None:
    judge = ShapeNetwork().eval()
    images = pixels(few, torch.arange(2))
    mean, variance = judge(images)
    assert mean.shape == variance.shape == (2, len(SHAPE)) and (variance > 0).all()
    larger = torch.nn.functional.interpolate(images, scale_factor=2.0, mode="nearest")
    torch.testing.assert_close(judge(larger)[0], mean, atol=1e-4, rtol=0)


def test_gradients_reach_the_picture(few: Photos) -> None:
    images = pixels(few, torch.arange(2)).requires_grad_()
    ShapeNetwork().eval()(images)[0].sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_several_pictures_tell_as_much_as_they_do_not_have_in_common() -> None:
    generator = torch.Generator().manual_seed(0)
    people, count = 20_000, 4
    sex = torch.randn(people, 1, generator=generator)  # which every picture shows
    rest = torch.randn(people, 1, generator=generator)
    truth = (0.6**0.5 * sex + 0.4**0.5 * rest)[:, 0]
    noisy = rest + torch.randn(people, count, generator=generator)
    mean = (0.6**0.5 * sex + 0.4**0.5 * noisy / 2).T[..., None]  # the best estimate from each picture
    variance = torch.full_like(mean, 0.4 / 2)
    agreed = agreement(mean.transpose(0, 1))
    assert agreed.item() == pytest.approx(0.7 / 0.8, abs=0.01)
    all_of_them, left = together(mean, variance, agreed)
    error = (all_of_them[:, 0] - truth).square().mean()
    assert error < 0.65 * (mean[0, :, 0] - truth).square().mean()  # than by one picture
    assert error == pytest.approx(left.mean().item(), rel=0.15)


def test_one_picture_alone_tells_what_it_tells() -> None:
    mean, variance = torch.tensor([[0.8]]), torch.tensor([[0.4]])
    torch.testing.assert_close(together(mean, variance, torch.tensor([0.3])), (mean[0], variance[0]))


def test_the_likelihood_is_best_at_the_true_mean_and_deviation() -> None:
    truth = 0.3 + 0.5 * torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    variance = torch.full_like(truth, 0.25).requires_grad_()
    mean = torch.full_like(truth, 0.3).requires_grad_()
    training.likelihood(mean, variance, truth).backward()
    assert mean.grad is not None and variance.grad is not None
    assert mean.grad.sum().abs() < 0.02 and variance.grad.sum().abs() < 0.02
    far = torch.full_like(truth, 1.0).requires_grad_()
    training.likelihood(far, torch.full_like(truth, 0.25), truth).backward()
    assert far.grad is not None and far.grad.sum() > 0.5


def test_pictures_are_of_one_body_if_that_is_likelier_than_two() -> None:
    z = torch.linspace(-8, 8, 4001)
    mean, variance = torch.tensor([0.5, 0.7, -1.2]), torch.tensor([0.2, 0.6, 0.1])
    posteriors = torch.stack(
        [torch.distributions.Normal(*one).log_prob(z) for one in zip(mean, variance.sqrt(), strict=True)]
    )
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    joint = posteriors[:, None] + posteriors - prior
    expected = (joint.exp().sum(2) * (z[1] - z[0])).log()
    found = likeness(Judged(mean[:, None], variance[:, None], mean[:, None])) / 2
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_errors_are_in_the_units_of_what_is_read(few: Photos) -> None:
    truth = torch.from_numpy(standardized(shape_of(few.measures)))
    longer = unstandardized(truth.numpy())
    longer[:, SHAPE.index("legs")] += 0.01
    found = errors(Judged(torch.from_numpy(standardized(longer)), torch.ones_like(truth), truth), "two photos")
    assert found["error of legs, two photos, cm"] == pytest.approx(1.7)
    assert found["error of legs, two photos, %"] == pytest.approx(1 / 0.48, rel=0.1)
    assert found["error of BMI, two photos, kg/m²"] == 0


def test_the_check_of_a_judge_that_knows_everything_and_of_one_that_knows_nothing(few: Photos) -> None:
    truth = torch.from_numpy(standardized(shape_of(few.measures))).float()
    knowing = Judged(truth, torch.full_like(truth, 0.01), truth)
    guessing = Judged(torch.zeros_like(truth), torch.ones_like(truth), truth)
    best, worst = (figures(judged, few) | details(judged, WORLD_3D, few) for judged in (knowing, guessing))
    assert best.keys() == worst.keys()
    assert best["AUC, one photo against one"] == 1 and worst["AUC, one photo against one"] == 0.5
    assert best["R² of waist girth, one photo"] == best["R² of all values, one photo"] == pytest.approx(1)
    assert best["error of BMI, 4 photos, kg/m²"] < 0.1 < worst["error of BMI, 4 photos, kg/m²"]
    for value in SHAPE:
        assert worst[f"error of {value}, one photo, %"] == worst[f"error of {value}, no photo, %"]


def test_photos_are_read_in_their_order(few: Photos) -> None:
    judge = ShapeNetwork().eval()
    judged = read(judge, few)
    with torch.no_grad():
        mean, variance = judge(pixels(few, torch.tensor([5])))
    torch.testing.assert_close(judged.mean[5:6], mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(judged.variance[5:6], variance, atol=1e-4, rtol=0)
    assert torch.equal(combined(judged, 4).truth, judged.truth[::4])

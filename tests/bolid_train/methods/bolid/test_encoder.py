"""One posterior from the views of a person, whatever their order, number, padding and size."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from bolid_train.data.batch import Views
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.encoder import BodyEncoder, Posterior
from bolid_train.methods.bolid.view_encoder import log_distances, patches_at

CLIP, CHANNELS, BODY = 10, 4, 24
both_aggregators = pytest.mark.parametrize("aggregator", ["mean", "attention"])
Aggregator = Literal["mean", "attention"]


def _encoder(aggregator: Aggregator = "mean", **settings: Any) -> BodyEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BodyEncoder(CLIP, CHANNELS, BODY, aggregator=aggregator, **settings)


def _views(rows: int, count: int, seed: int = 0) -> BodyViews:
    """Photos of 80 × 120 pixels, some joints not visible."""
    random = torch.Generator().manual_seed(seed)
    return BodyViews(
        torch.randn(rows, count, CLIP, generator=random),
        torch.randn(rows, count, CHANNELS, 8, 8, generator=random),
        torch.cat([torch.rand(rows, count, 17, 2, generator=random), _sure(rows, count, random)], dim=-1),
        torch.tensor([80.0, 120.0]).expand(rows, count, 2),
        0.5 + 0.5 * torch.rand(rows, count, generator=random),
    )


def _nothing(rows: int) -> BodyViews:
    """Padding alone."""
    features = torch.zeros(rows, 1, CLIP), torch.zeros(rows, 1, CHANNELS, 8, 8)
    return BodyViews(*features, *vars(Views.none(rows)).values())


def _sure(rows: int, count: int, random: torch.Generator) -> Tensor:
    return 0.9 * (torch.rand(rows, count, 17, 1, generator=random) > 0.2)


def _pick(views: BodyViews, order: Tensor) -> BodyViews:
    """The views of every row in another order, or some of them."""
    return BodyViews(*(getattr(views, name)[:, order] for name in BodyViews.__dataclass_fields__))


def _same(first: Posterior, second: Posterior) -> None:
    assert_close(first.mean, second.mean, atol=1e-5, rtol=1e-4)
    assert first.log_variance is not None and second.log_variance is not None
    assert_close(first.log_variance, second.log_variance, atol=1e-5, rtol=1e-4)


@both_aggregators
def test_the_order_of_views_does_not_matter(aggregator: Aggregator) -> None:
    encoder, views = _encoder(aggregator), _views(2, 5)
    _same(encoder(_pick(views, torch.tensor([3, 0, 4, 2, 1]))), encoder(views))


@both_aggregators
def test_padding_does_not_matter_whatever_it_holds(aggregator: Aggregator) -> None:
    encoder, views = _encoder(aggregator), _views(2, 3)
    padded = _pick(views, torch.tensor([0, 1, 2, 2, 2]))
    for name in ("embeds", "latents", "keypoints", "sizes"):
        getattr(padded, name)[:, 3:] = torch.nan
    padded.confidence[:, 3:] = 0
    _same(encoder(padded), encoder(views))
    encoder(padded).mean.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters())


@both_aggregators
def test_one_view_works_and_repeating_it_changes_nothing(aggregator: Aggregator) -> None:
    encoder, view = _encoder(aggregator), _views(2, 1)
    one = encoder(view)
    assert one.mean.shape == (2, BODY) and bool(one.mean.isfinite().all())
    _same(encoder(_pick(view, torch.tensor([0, 0, 0]))), one)


@both_aggregators
def test_a_surer_view_counts_more(aggregator: Aggregator) -> None:
    encoder, views = _encoder(aggregator), _views(1, 2)
    alone = encoder(_pick(views, torch.tensor([0]))).mean
    near = encoder(replace(views, confidence=torch.tensor([[0.9, 0.1]]))).mean
    far = encoder(replace(views, confidence=torch.tensor([[0.1, 0.9]]))).mean
    assert (near - alone).norm() < (far - alone).norm()


@both_aggregators
def test_without_any_view_the_body_is_finite(aggregator: Aggregator) -> None:
    encoder, views = _encoder(aggregator), _nothing(2)
    posterior = encoder(views)
    assert bool(posterior.mean.isfinite().all()) and bool(posterior.kl(0.0).isfinite().all())
    posterior.mean.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters())


@both_aggregators
def test_evaluation_gives_what_training_gives(aggregator: Aggregator) -> None:
    encoder, views = _encoder(aggregator), _views(2, 3)
    views.confidence[1, 2] = 0
    trained = encoder(views)
    with torch.no_grad():
        _same(encoder.eval()(views), trained)


def test_a_larger_scan_of_the_same_photo_is_the_same_body() -> None:
    encoder, views = _encoder(), _views(2, 3)
    _same(encoder(replace(views, sizes=7 * views.sizes)), encoder(views))


def test_a_person_nearer_to_the_camera_has_the_same_limbs() -> None:
    places, seen = torch.rand(2, 17, 2), torch.rand(2, 17) > 0.2
    assert_close(log_distances(0.3 * places + 0.2, seen), log_distances(places, seen), atol=1e-4, rtol=1e-4)


def test_a_squeezed_photo_shows_other_limbs() -> None:
    encoder, views = _encoder(), _views(2, 3)
    wide = encoder(replace(views, sizes=views.sizes.flip(-1))).mean
    assert not torch.allclose(wide, encoder(views).mean, atol=1e-3)


def test_a_joint_that_is_not_visible_may_be_anywhere() -> None:
    encoder, views = _encoder(), _views(2, 3)
    hidden = views.keypoints[..., 2:] < 0.5
    moved = torch.where(hidden, views.keypoints.new_tensor([0.123, torch.nan, 0.1]), views.keypoints)
    _same(encoder(replace(views, keypoints=moved)), encoder(views))


@pytest.mark.parametrize(("keypoints", "same"), [(12, True), (17, False)])
def test_twelve_keypoints_leave_the_face_out(keypoints: int, same: bool) -> None:
    encoder, views = _encoder(keypoints=keypoints), _views(2, 3)
    moved = views.keypoints.clone()
    moved[..., :5, :2] = moved[..., :5, :2].flip(-1)
    assert torch.allclose(encoder(replace(views, keypoints=moved)).mean, encoder(views).mean, atol=1e-5) == same


def test_latents_are_read_where_the_joint_is() -> None:
    latents = torch.zeros(1, 2, 8, 16)
    latents[0, :, 2, 12] = torch.tensor([3.0, 5.0])
    places = torch.tensor([[(12 + 0.5) / 16, (2 + 0.5) / 8], [(11 + 0.5) / 16, (2 + 0.5) / 8], [0.1, 0.9]])
    seen = torch.ones(1, 17, dtype=torch.bool)
    found = patches_at(latents, torch.cat([places, torch.full((14, 2), 0.1)])[None], seen)
    found = found.unflatten(2, (2, 3, 3))  # channel, x, y
    assert_close(found[0, 0, :, 1, 1], torch.tensor([3.0, 5.0]))  # under the joint
    assert_close(found[0, 1, :, 2, 1], torch.tensor([3.0, 5.0]))  # one to the right of it
    assert found[0, 2].abs().max() == 0


def test_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(3, BODY), torch.randn(3, BODY)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    assert_close(Posterior(mean, log_variance).kl(0.0), expected.sum(dim=1))
    assert_close(Posterior(mean, log_variance).kl(0.4), expected.clamp_min(0.4).sum(dim=1))


def test_free_bits_leave_a_dimension_alone() -> None:
    mean = torch.tensor([[0.1, 2.0]], requires_grad=True)
    Posterior(mean, torch.zeros(1, 2)).kl(0.05).sum().backward()
    assert mean.grad is not None and mean.grad.tolist() == [[0.0, 2.0]]


def test_draws_spread_around_the_mean_as_the_posterior_says() -> None:
    posterior = Posterior(torch.full((4000, 2), 3.0), torch.tensor([0.25, 4.0]).log().expand(4000, 2))
    drawn = posterior.sample(torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)))
    assert_close(drawn.mean(dim=0), torch.full((2,), 3.0), atol=0.1, rtol=0)
    assert_close(drawn.std(dim=0), torch.tensor([0.5, 2.0]), atol=0.1, rtol=0)


def test_a_plain_encoder_has_no_spread_and_costs_nothing() -> None:
    posterior = _encoder(variational=False)(_views(2, 3))
    assert posterior.log_variance is None
    assert torch.equal(posterior.sample(torch.randn(2, BODY)), posterior.mean)
    assert posterior.kl(0.05).tolist() == [0, 0]


@both_aggregators
@pytest.mark.parametrize("variational", [True, False])
def test_every_weight_learns(aggregator: Aggregator, variational: bool) -> None:
    encoder = _encoder(aggregator, variational=variational)
    for step in range(2):  # the variance's weights start at zero, which holds nothing else back
        posterior = encoder(_views(3, 4, seed=step))
        bodies = posterior.sample(torch.randn(3, BODY))
        (encoder.predict_proportions(bodies).square().sum() + posterior.kl(0.0).sum()).backward()
    still = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []

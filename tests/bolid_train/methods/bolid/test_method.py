"""What is BoLID's own: bodies drawn around their mean in training, the terms of its loss, a prior for text alone."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from bolid_data.manifest import Train
from bolid_train.data.batch import Batch
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.methods.bolid.body_views import BodyViews
from bolid_train.methods.bolid.method import Bolid
from bolid_train.training.objective import TrainingObjective
from tests.support.drawn_batches import REF_DIM, drawn_batch, installed, photoless
from tests.support.small_base import small_base


def test_training_draws_a_body_and_inference_takes_the_mean() -> None:
    method, _ = _bolid()
    batch = drawn_batch()
    again = replace(batch, random=drawn_batch(seed=1).random)
    assert torch.equal(_bodies(method, batch), _bodies(method, batch))
    assert not torch.equal(_bodies(method, batch), _bodies(method, again))
    with torch.no_grad():
        assert torch.equal(_bodies(method, batch), _bodies(method, again))
        posterior = method.encoder(BodyViews.of(batch))
        assert torch.equal(_bodies(method, batch), posterior.mean)
    noise = batch.random.normal("body", 32)
    torch.testing.assert_close(_bodies(method, batch), posterior.mean + (posterior.log_variance / 2).exp() * noise)


def test_a_plain_encoder_has_neither_draws_nor_kl() -> None:
    method, _ = _bolid(body_encoder="plain")
    batch = drawn_batch()
    again = replace(batch, random=drawn_batch(seed=1).random)
    assert torch.equal(_bodies(method, batch), _bodies(method, again))
    assert set(_losses(method, batch)) == {"proportions"}


def test_kl_is_in_nats_a_dimension_and_grows_over_the_first_steps() -> None:
    method, _ = _bolid(kl=0.2, kl_warmup=100, free_bits=0.01)
    batch = drawn_batch()
    expected = 0.2 * method.encoder(BodyViews.of(batch)).kl(0.01).mean() / 32
    for step, share in ((0, 0.0), (25, 0.25), (100, 1.0), (500, 1.0)):
        torch.testing.assert_close(_losses(method, replace(batch, step=step))["kl"], share * expected)


def test_proportions_are_the_persons_where_they_are_known() -> None:
    method, _ = _bolid(proportions=0.5)
    batch = drawn_batch(rows=2)
    assert batch.proportions is not None
    person = batch.proportions.person.clone()
    person[0, 4] = torch.nan  # no wrist in any photo of the first person
    spread = 0.1 + torch.rand(7)
    told = method.encoder.predict_proportions(_bodies(method, batch))
    known = [0, 1, 2, 3, 5, 6]
    apart = [(told[0, known] - person[0, known]) / spread[known], (told[1] - person[1]) / spread]
    rows = [torch.where(row.abs() < 1, row.square() / 2, row.abs() - 0.5).mean() for row in apart]
    smooth = torch.stack(rows).mean()
    given = replace(batch.proportions, person=person, spread=spread.expand(2, 7))
    got = _losses(method, replace(batch, proportions=given))["proportions"]
    torch.testing.assert_close(got, 0.5 * smooth)


def test_before_the_adapter_the_encoder_learns_its_own_terms_and_nothing_of_it_is_left_to_the_first_step() -> None:
    method, _ = _bolid(encoder_steps=30)
    batch = drawn_batch()
    before = {name: value.clone() for name, value in method.branches.tensors("body").items()}
    untrained = sum(term.item() for term in _losses(method, batch).values())
    method.prepare(lambda _: batch)
    assert sum(term.item() for term in _losses(method, batch).values()) < 0.8 * untrained
    assert all(parameter.grad is None for parameter in method.parameters())
    assert all(torch.equal(value, before[name]) for name, value in method.branches.tensors("body").items())


def test_rows_without_views_cost_nothing() -> None:
    method, _ = _bolid()
    batch = photoless(drawn_batch())
    assert {name: term.item() for name, term in _losses(method, batch).items()} == {"kl": 0.0, "proportions": 0.0}


def test_terms_of_no_weight_are_left_out_and_train_nothing() -> None:
    method, _ = _bolid(kl=0.0, proportions=0.0)
    assert _losses(method, drawn_batch()) == {}
    trained = {id(value) for value in method.parameters()}
    assert not trained & {id(value) for value in method.encoder.proportions.parameters()}


def test_without_a_photo_the_body_follows_the_text_and_else_the_seed_alone() -> None:
    method, _ = _bolid(prior_steps=100)
    rows = 64
    kinds = torch.arange(rows) % 2
    look, words = torch.randn(2, REF_DIM), torch.randn(2, 1, 80)

    @cache
    def told(seed: int) -> Batch:
        """People of two kinds: their views and their prompts say which."""
        batch = drawn_batch(rows, views=1, seed=seed)
        embeds = 2 * look[kinds][:, None] + 0.5 * batch.features["view_embeds"]
        features = {**batch.features, "view_embeds": embeds}
        return replace(batch, features=features, prompt_embeds=words[kinds] + 0.1 * batch.prompt_embeds)

    method.finish(lambda number: told(number % 2))
    drawn = photoless(told(9))
    with torch.no_grad():
        bodies, prior = _bodies(method, told(9)), _bodies(method, drawn)
        assert torch.equal(prior, _bodies(method, drawn))
        assert not torch.equal(prior, _bodies(method, replace(drawn, random=told(1).random)))
    axis = bodies[kinds == 1].mean(0) - bodies[kinds == 0].mean(0)
    right = ((prior @ axis > (bodies @ axis).mean()) == (kinds == 1)).float().mean()
    assert right > 0.9, right


def test_the_same_batches_give_the_same_prior() -> None:
    states = []
    for _ in range(2):
        method, _ = _bolid(prior_steps=3)
        torch.rand(1)  # whatever else was drawn meanwhile
        method.finish(lambda number: drawn_batch(256, views=1, seed=number))
        states.append(method.prior.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    fresh = _bolid()[0].prior.state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in states[0].items())


def test_a_step_runs_the_encoder_once() -> None:
    method, unet = installed("bolid")
    assert isinstance(method, Bolid)
    calls: list[int] = []
    method.encoder.register_forward_hook(lambda *_: calls.append(1))
    denoiser = Denoiser(unet, DDPMScheduler.from_pretrained(small_base(), subfolder="scheduler"))
    terms = TrainingObjective(method, ("text", "ref", "body"), denoiser, None, Train())(drawn_batch())
    assert set(terms) == {"loss", "diffusion", "kl", "proportions"} and len(calls) == 1


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_the_settings_choose_the_aggregator(kind: str) -> None:
    method, _ = _bolid(aggregator=kind)
    assert (method.encoder.attention is None) == (kind == "mean")


def _bolid(**settings: object) -> tuple[Bolid, object]:
    method, unet = installed("bolid", **settings)
    assert isinstance(method, Bolid)
    return method, unet


def _bodies(method: Bolid, batch: Batch) -> Tensor:
    return method.condition(batch)[0].added_cond_kwargs["image_embeds"][1][:, 0]


def _losses(method: Bolid, batch: Batch) -> dict[str, Tensor]:
    return method.losses(None, batch, method.condition(batch)[1])

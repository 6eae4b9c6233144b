"""What every method does: it learns, is saved whole, and leaves the base alone where it is told to."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.data.batch import empty_views
from bolid_train.diffusion.unet_inputs import UNetInputs
from bolid_train.methods import registry
from bolid_train.methods.registry import METHODS
from tests.support.drawn_batches import REF_DIM, bare, drawn_batch, drawn_unet, fit, installed, predict

TRAINED = sorted(set(METHODS) - {"text"})
WIDTHS = {name: getattr(make(Train(person="anna"), REF_DIM), "widths", {}) for name, make in METHODS.items()}
BRANCHED = [name for name, widths in WIDTHS.items() if widths]
WITH_BODY = [name for name, widths in WIDTHS.items() if "body" in widths]


@pytest.mark.parametrize("name", TRAINED)
def test_a_batch_seen_again_is_predicted_better_and_the_base_stays_frozen(name: str) -> None:
    method, unet = installed(name)
    before = {key: value.clone() for key, value in drawn_unet().state_dict().items()}
    losses = fit(method, unet, drawn_batch(), 4)
    assert losses[-1] < losses[0]
    assert all(value.grad is not None for value in method.parameters())
    after = {key.replace(".base_layer", ""): value for key, value in unet.state_dict().items()}
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_is_saved_is_what_was_trained(name: str, tmp_path: Path) -> None:
    batch, other = drawn_batch(), drawn_batch(seed=1)
    method, unet = installed(name, prior_steps=2)
    if name in TRAINED:
        fit(method, unet, batch, 1)
    method.finish(lambda _: drawn_batch(512, views=1, seed=0))
    assert set(method.save(tmp_path)) == {file.name for file in tmp_path.iterdir()}
    again, its_unet = installed(name)
    again.load(tmp_path)
    for rows in (other, replace(other, views=empty_views(3, REF_DIM, (4, 16, 16)))):
        with torch.no_grad():
            first, second = method.condition(rows), again.condition(rows)
        assert torch.equal(predict(unet, rows, first), predict(its_unet, rows, second))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_at_scale_zero_the_base_answers_bit_for_bit(name: str) -> None:
    batch = drawn_batch()
    method, unet = installed(name)
    if name in TRAINED:
        fit(method, unet, batch, 1)
    base = predict(drawn_unet(), batch, bare(batch))
    with torch.no_grad():
        inputs = method.condition(batch)
    assert torch.equal(predict(unet, batch, inputs), base) == (name == "text")
    method.scale("ref", 0)
    method.scale("body", 0)
    assert torch.equal(predict(unet, batch, inputs), base)
    method.scale("ref", 1)
    method.scale("body", 1)
    assert torch.equal(predict(unet, batch, inputs), base) == (name == "text")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_text_is_dropped_in_the_rows_given(name: str) -> None:
    batch, rows = drawn_batch(), torch.tensor([False, True, False])
    method, _ = installed(name)
    inputs = method.condition(batch)
    dropped = method.drop(inputs, "text", rows)
    for before, after in (
        (inputs.encoder_hidden_states, dropped.encoder_hidden_states),
        (inputs.added_cond_kwargs["text_embeds"], dropped.added_cond_kwargs["text_embeds"]),
    ):
        assert not after[1].any() and torch.equal(before[::2], after[::2])
    assert not method.drop(inputs, "text").encoder_hidden_states.any()


@pytest.mark.parametrize("name", BRANCHED)
def test_a_branch_is_dropped_in_the_rows_given_and_no_other_branch_is(name: str) -> None:
    batch, rows = drawn_batch(), torch.tensor([False, True, False])
    method, _ = installed(name)
    inputs = method.condition(batch)
    embeds = inputs.added_cond_kwargs["image_embeds"]
    for source in ("ref", "body"):
        changed = [
            not torch.equal(before, after)
            for before, after in zip(embeds, _embeds(method.drop(inputs, source, rows)), strict=True)
        ]
        assert changed == [own == source for own in method.widths]
        number = list(method.widths).index(source) if source in method.widths else None
        if number is not None:
            after = _embeds(method.drop(inputs, source, rows))[number]
            assert not after[1].any() and torch.equal(after[::2], embeds[number][::2])


@pytest.mark.parametrize("name", WITH_BODY)
def test_a_blend_goes_from_one_body_to_the_other_and_keeps_the_rest(name: str) -> None:
    method, _ = installed(name)
    with torch.no_grad():
        first, second = (method.condition(drawn_batch(seed=seed)) for seed in (0, 1))
    start, end, half = (method.blend(first, second, weight) for weight in (0.0, 1.0, 0.5))
    body = _embeds(first)[-1], _embeds(second)[-1]
    assert torch.equal(_embeds(start)[-1], body[0]) and torch.equal(_embeds(end)[-1], body[1])
    torch.testing.assert_close(_embeds(half)[-1], (body[0] + body[1]) / 2)
    assert all(map(torch.equal, _embeds(end)[:-1], _embeds(first)[:-1]))
    assert torch.equal(end.encoder_hidden_states, first.encoder_hidden_states)


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(WITH_BODY)))
def test_a_method_without_a_body_says_that_it_cannot_blend(name: str) -> None:
    method, _ = installed(name)
    inputs = method.condition(drawn_batch())
    with pytest.raises(UsageError, match=f"method '{name}' has no body to blend; use a run of method bolid"):
        method.blend(inputs, inputs, 0.5)


@pytest.mark.parametrize("name", WITH_BODY)
def test_neither_the_order_of_views_nor_their_padding_matters(name: str) -> None:
    method, _ = installed(name)
    batch = drawn_batch(views=3)
    views = batch.views
    parts = (views.embeds, views.latents, views.keypoints, views.sizes, views.confidence)
    turned = replace(views, **dict(zip(vars(views), (part.flip(1) for part in parts), strict=True)))
    padded = replace(
        views,
        **dict(zip(vars(views), (torch.cat([part, torch.full_like(part, 0)], dim=1) for part in parts), strict=True)),
    )
    with torch.no_grad():
        body = _embeds(method.condition(batch))[-1]
        for other in (turned, padded):
            torch.testing.assert_close(_embeds(method.condition(replace(batch, views=other)))[-1], body)


def test_without_views_the_prototype_has_no_body() -> None:
    method, _ = installed("ip-adapter-views")
    batch = replace(drawn_batch(), views=empty_views(3, REF_DIM, (4, 16, 16)))
    assert not _embeds(method.condition(batch))[0].any()


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'lroa' is not known; known methods are bolid, ip-adapter, .*, lora, text"):
        registry.resolve("lroa")


def _embeds(inputs: UNetInputs) -> list[Tensor]:
    return inputs.added_cond_kwargs["image_embeds"]

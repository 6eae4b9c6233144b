"""Conditions dropped at random in training."""

import torch

from bolid_data.manifest import Train
from bolid_train.methods.dropout import drop_at_random
from tests.support.drawn_batches import drawn_batch, installed


def test_conditions_are_dropped_as_often_as_the_settings_say_and_independently() -> None:
    method, _ = installed("bolid")
    batch = drawn_batch(3000, views=1)
    settings = Train(drop_text=0.1, drop_image=0.2, drop_both=0.3)
    with torch.no_grad():
        inputs, _ = method.condition(batch)
        dropped = drop_at_random(method, ("text", "ref", "body"), inputs, batch.random, settings)
    text = ~dropped.encoder_hidden_states.flatten(1).any(dim=1)
    ref, body = (~embeds.flatten(1).any(dim=1) for embeds in dropped.added_cond_kwargs["image_embeds"])
    everything = text & ref & body
    shares = torch.stack([everything, text, ref, body]).float().mean(dim=1)
    torch.testing.assert_close(shares, torch.tensor([0.3, 0.4, 0.5, 0.44]), atol=0.03, rtol=0)
    others = ~everything
    assert abs(float((ref & body)[others].float().mean()) - 0.2 * 0.2) < 0.06, "one is dropped without the other"
    assert (ref & ~body).any() and (body & ~ref).any()

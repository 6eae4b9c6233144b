"""Conditions dropped at random in training."""

import torch

from bolid_data.manifest import Train
from bolid_train.methods.dropout import drop_at_random
from tests.support.drawn_batches import drawn_batch, installed


def test_conditions_are_dropped_as_often_as_the_settings_say() -> None:
    method, _ = installed("bolid")
    batch = drawn_batch(1500, views=1)
    settings = Train(drop_text=0.1, drop_image=0.2, drop_both=0.3)
    with torch.no_grad():
        dropped = drop_at_random(method, method.condition(batch), batch.random, settings)
    text = ~dropped.encoder_hidden_states.flatten(1).any(dim=1)
    ref, body = (~embeds.flatten(1).any(dim=1) for embeds in dropped.added_cond_kwargs["image_embeds"])
    assert torch.equal(ref, body)
    shares = torch.stack([text & ~ref, ref & ~text, text & ref]).float().mean(dim=1)
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.3]), atol=0.04, rtol=0)

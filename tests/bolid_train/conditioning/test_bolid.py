"""BoLID on the UNet: the paper's attention, started from the UNet's own K and V, its sources dropped row by row."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from bolid_data.manifest import Manifest
from bolid_train.base import Base
from bolid_train.batches import Batch, PersonSampler
from bolid_train.conditioning.bolid import Bolid
from bolid_train.conditioning.dropout import drop_at_random
from bolid_train.features import FeatureCache
from bolid_train.views import Shards


@pytest.fixture(scope="module")
def method_and_batch(trained: tuple[Path, Manifest]) -> tuple[Bolid, nn.Module, Batch]:
    folder, settings = trained
    base = Base.find(settings.train, folder)
    cache = FeatureCache(folder / "features", base, settings.train)
    sampler = PersonSampler(Shards(folder / "shards").people("train"), 3, 3, seed=0)
    unet = base.unet(torch.device("cpu"))
    torch.manual_seed(0)
    method = Bolid(settings.train, 64)
    method.install(unet)
    return method, unet, cache.batch(sampler.picks(1)).to(torch.device("cpu"))


def test_attention_is_the_sum_of_the_papers_three_terms(
    method_and_batch: tuple[Bolid, nn.Module, Batch],
) -> None:
    method, unet, _ = method_and_batch
    attention = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2")
    queries, text, ref, body = torch.randn(2, 9, 96), *(torch.randn(2, length, 80) for length in (7, 4, 4))
    method.scale("ref", 0.3)
    method.scale("body", 0.7)

    def term(tokens: Tensor, key: nn.Module, value: nn.Module) -> Tensor:
        heads = [
            x.view(2, -1, attention.heads, 32).transpose(1, 2)
            for x in (attention.to_q(queries), key(tokens), value(tokens))
        ]
        return functional.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(2, 9, 96)

    own = (attention.to_k, attention.to_v)  # what the branches' own start as
    expected = term(text, *own) + 0.3 * term(ref, *own) + 0.7 * term(body, *own)
    got = attention(queries, encoder_hidden_states=(text, [ref[:, None], body[:, None]]))
    torch.testing.assert_close(got, attention.to_out[0](expected))
    method.scale("ref", 1.0)
    method.scale("body", 1.0)


def test_a_source_is_dropped_in_the_rows_given(method_and_batch: tuple[Bolid, nn.Module, Batch]) -> None:
    method, _, batch = method_and_batch
    inputs = method.condition(batch)
    rows = torch.tensor([False, True, False])
    without = method.drop(method.drop(inputs, "text", rows), "body", rows)
    assert not without.encoder_hidden_states[1].any() and not without.added_cond_kwargs["text_embeds"][1].any()
    ref, body = without.added_cond_kwargs["image_embeds"]
    assert not body[1].any() and bool(body[0].any()) and torch.equal(ref, inputs.added_cond_kwargs["image_embeds"][0])
    torch.testing.assert_close(without.encoder_hidden_states[::2], inputs.encoder_hidden_states[::2])


def test_conditions_are_dropped_as_often_as_the_settings_say(
    trained: tuple[Path, Manifest], method_and_batch: tuple[Bolid, nn.Module, Batch]
) -> None:
    method, _, batch = method_and_batch
    settings = trained[1].train.model_copy(update={"drop_text": 0.1, "drop_image": 0.2, "drop_both": 0.3})
    torch.manual_seed(0)
    counts = torch.zeros(3)
    inputs = method.condition(batch)
    for _ in range(700):
        dropped = drop_at_random(method, inputs, settings)
        text = ~dropped.encoder_hidden_states.flatten(1).any(dim=1)
        ref, body = (~embeds.flatten(1).any(dim=1) for embeds in dropped.added_cond_kwargs["image_embeds"])
        assert torch.equal(ref, body)
        counts += torch.stack([text & ~ref, ref & ~text, text & ref]).sum(dim=1)
    torch.testing.assert_close(counts / 2100, torch.tensor([0.1, 0.2, 0.3]), atol=0.03, rtol=0)

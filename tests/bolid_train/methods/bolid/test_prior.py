"""Bodies drawn for prompts: what the text says is what is drawn, and a seed gives the same body again."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bolid_train.diffusion.rng import RowRandom
from bolid_train.methods.bolid.prior import BodyPrior

C, D = 4, 12
MANY = 200


def _prompts(words: Tensor, seed: int = 0) -> Tensor:
    """Prompts (B, 6, D): one token of each, at a place of its own, is word 0 or 1; the others are noise."""
    generator = torch.Generator().manual_seed(1000 + seed)
    prompts = 0.5 * torch.randn(len(words), 6, D, generator=generator)
    places = torch.randint(6, (len(words),), generator=generator)
    vocabulary = 3 * torch.eye(D)[:2]
    prompts[torch.arange(len(words)), places] = vocabulary[words]
    return prompts


def _bodies(words: Tensor, seed: int) -> Tensor:
    """Bodies (B, C) around 5 - 2 or 5 + 2 in the first dimension, as the word says; the second is always wider."""
    noise = torch.randn(len(words), C, generator=torch.Generator().manual_seed(seed))
    bodies = 5 + 0.3 * noise * torch.tensor([1.0, 4.0, 1.0, 1.0])
    bodies[:, 0] += 4 * words - 2
    return bodies


@cache
def _trained() -> BodyPrior:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = BodyPrior(C, D)
    words = torch.arange(32) % 2
    prior.fit_scale(_bodies(torch.arange(400) % 2, 0))
    optimizer = torch.optim.AdamW(prior.parameters(), 2e-3)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / 150)
        seeds = [step * 32 + row for row in range(32)]
        optimizer.zero_grad()
        prior.loss(_bodies(words, step), _prompts(words, step + 1), RowRandom(seeds)).backward()
        optimizer.step()
    return prior


@pytest.fixture(autouse=True)
def _global_randomness_is_not_used() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state())


def _untrained() -> BodyPrior:
    with torch.random.fork_rng(devices=[]):
        return BodyPrior(C, D)


def test_before_training_bodies_are_standard_normal_whatever_the_text() -> None:
    prior, words = _untrained(), torch.zeros(400, dtype=torch.long)
    drawn = prior.sample(_prompts(words), RowRandom(range(400)))
    torch.testing.assert_close(drawn.mean(dim=0), torch.zeros(C), atol=0.2, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), torch.ones(C), atol=0.2, rtol=0)
    torch.testing.assert_close(prior.sample(_prompts(1 - words), RowRandom(range(400))), drawn)


def test_before_training_bodies_spread_like_those_seen() -> None:
    prior, words = _untrained(), torch.zeros(400, dtype=torch.long)
    seen = _bodies(words, 0)
    prior.fit_scale(seen)
    drawn = (prior.sample(_prompts(words), RowRandom(range(400))) - seen.mean(dim=0)) / seen.std(dim=0)
    torch.testing.assert_close(drawn.mean(dim=0), torch.zeros(C), atol=0.2, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), torch.ones(C), atol=0.2, rtol=0)


def test_after_training_the_text_says_what_is_drawn() -> None:
    for word, expected in ((0, 3.0), (1, 7.0)):
        words = torch.full((MANY,), word)
        drawn = _trained().sample(_prompts(words), RowRandom(range(MANY)), guidance=1)
        torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([expected, 5, 5, 5]), atol=0.4, rtol=0)
        assert drawn[:, 1].std() == pytest.approx(1.2, rel=0.2)  # bodies of one text stay different
        assert drawn[:, 0].std() < 0.8


def test_guidance_follows_the_text_no_less() -> None:
    words = torch.arange(MANY) % 2
    drawn = _trained().sample(_prompts(words), RowRandom(range(MANY)))[:, 0]
    assert (((drawn > 5) == words.bool()).float().mean()) > 0.95


def test_without_a_text_all_bodies_are_drawn() -> None:
    drawn = _trained().sample(torch.zeros(MANY, 6, D), RowRandom(range(MANY)))[:, 0]
    assert 0.3 < (drawn > 5).float().mean() < 0.7
    assert (drawn - 5).abs().mean() > 1.2  # around the one or the other, not between


def test_a_seed_gives_the_same_body_whatever_the_rows_beside_it() -> None:
    prompts = _prompts(torch.tensor([0, 1, 0]))
    drawn = _trained().sample(prompts, RowRandom([7, 8, 9]))
    torch.testing.assert_close(_trained().sample(prompts[1:2], RowRandom([8])), drawn[1:2])
    assert not torch.allclose(_trained().sample(prompts, RowRandom([1, 2, 3])), drawn, atol=0.05)


def test_a_saved_prior_draws_the_same(tmp_path: Path) -> None:
    save_file(_trained().state_dict(), tmp_path / "prior.safetensors")
    again = _untrained()
    again.load_state_dict(load_file(tmp_path / "prior.safetensors"))
    prompts, random = _prompts(torch.tensor([0, 1])), RowRandom([1, 2])
    assert torch.equal(again.sample(prompts, random), _trained().sample(prompts, random))


def test_a_batch_loses_the_mean_of_what_its_halves_lose() -> None:
    words = torch.arange(8) % 2
    bodies, prompts, random = _bodies(words, 3), _prompts(words), RowRandom(range(8))
    whole = _trained().loss(bodies, prompts, random)
    halves = [_trained().loss(bodies[rows], prompts[rows], random.select(rows)) for rows in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(whole, torch.stack(halves).mean())

"""The trainings of the flat world's base: batches and losses are those that the committed weights were trained with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from small_world.sdxl import build_vae
from small_world.tokenizer import build_tokenizer
from small_world.training import base, vae
from small_world.training.base import Denoising, TextToImage
from small_world.training.loop import fit
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import CORPUS
from small_world.worlds import FLAT


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return draw_split(replace(CORPUS, seed=990, people=8, photos=8), tmp_path_factory.mktemp("flat"))


def test_the_losses_of_the_first_steps_are_those_of_before(photos: Photos, tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []
    torch.manual_seed(0)
    autoencoder = build_vae().to(memory_format=torch.channels_last)
    schedule = replace(vae.SCHEDULES["flat"], steps=3, report_every=1)
    trained = fit(autoencoder, vae.Autoencoding(autoencoder, photos), schedule, tmp_path / "vae", lines.append)
    trained.register_to_config(scaling_factor=1.0)  # type: ignore[operator]
    latents = base.encode(trained, photos)  # type: ignore[arg-type]
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = TextToImage(tokenizer)
    schedule = replace(base.SCHEDULES["flat"], steps=3, report_every=1)
    fit(model, Denoising(model, tokenizer, photos, latents), schedule, tmp_path / "base", lines.append)
    assert [line["pixels"] for line in lines[:3]] == pytest.approx([0.87592, 0.84387, 0.79878], rel=5e-3)
    assert [line["ε"] for line in lines[3:]] == pytest.approx([1.04890, 1.04211, 0.97717], rel=5e-3)


def test_a_batch_depends_on_its_seed_alone_and_tells_parts_of_captions(photos: Photos) -> None:
    tokenizer = build_tokenizer()
    denoising = Denoising(TextToImage(tokenizer), tokenizer, photos, torch.zeros(len(photos), 8, 16, 16), batch=4)
    for seed in (7, 8, 9, 3):  # the second and third are drawn ahead
        ahead = denoising.next_batch(torch.Generator().manual_seed(seed))
        batch = denoising.draw(torch.Generator().manual_seed(seed))
        assert all(torch.equal(getattr(ahead, name), value) for name, value in vars(batch).items())
        rng = np.random.default_rng(seed)
        captions = [FLAT.partial_caption(labels, rng) for labels in photos.labels[batch.rows.numpy()].tolist()]
        assert tokenizer.batch_decode(batch.tokens, skip_special_tokens=True) == tokenizer.batch_decode(
            tokenizer(captions).input_ids, skip_special_tokens=True
        )

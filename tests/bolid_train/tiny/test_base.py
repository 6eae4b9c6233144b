"""The small SDXL is an ordinary diffusers folder, the same every time."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from bolid_data.errors import UsageError
from bolid_data.weights import folder_sha256
from bolid_train.base import Base
from bolid_train.tiny.base import build_small_sdxl
from bolid_train.tiny.tokenizer import build_tokenizer


def test_two_builds_are_the_same_bytes_and_stock_diffusers_runs_them(tmp_path: Path) -> None:
    first, second = build_small_sdxl(tmp_path / "a"), build_small_sdxl(tmp_path / "b")
    assert folder_sha256(first) == folder_sha256(second)
    pipe = StableDiffusionXLPipeline.from_pretrained(first)
    image = pipe("a person", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (64, 64)


def test_the_tokenizer_takes_any_text_and_keeps_its_words_whole() -> None:
    tokenizer = build_tokenizer()
    assert len(tokenizer.tokenize("a person wearing red trousers")) == 5
    for text in ("naïve zebra, 42!", "человек", "🙂"):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")


def test_a_base_that_lacks_something_says_what(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a diffusers pipeline"):
        Base.at("mine", tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(UsageError, match=r"no image_encoder of its own; name one in \[train\] image_encoder"):
        Base.at("mine", tmp_path)

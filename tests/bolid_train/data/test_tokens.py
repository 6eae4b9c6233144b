"""Tokens of captions, and which of them are of the word for the person."""

import pytest
import torch

from bolid_data.manifest import Train
from bolid_train.data.features.feature import NO_PHOTO, Photo
from bolid_train.data.features.tokens import PromptTokens
from small_world.pipeline import load_small_sdxl


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("a tall woman in a red top, in a park", "woman"),
        ("a Person, arms down; a man behind", "person"),
        ("manners at the womanly table", ""),
        ("person", "person"),
        (" ".join(["very"] * 90) + " tall man", ""),
    ],
)
def test_the_class_word_is_marked_for_both_tokenizers(caption: str, word: str) -> None:
    pipe = load_small_sdxl()
    [tokens] = PromptTokens(Train()).encoder(pipe)([Photo(NO_PHOTO, (), caption)])
    for number, tokenizer in enumerate((pipe.tokenizer, pipe.tokenizer_2)):
        ids, mask = tokens["token_ids"][number], tokens["class_tokens"][number]
        expected = tokenizer(caption, padding="max_length", truncation=True, max_length=tokenizer.model_max_length)
        assert ids.tolist() == expected.input_ids
        assert tokenizer.decode(ids[mask].tolist()).strip().lower() == word
    assert tokens["class_tokens"].dtype == torch.bool

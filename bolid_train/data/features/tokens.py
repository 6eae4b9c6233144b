"""The tokens of a caption, for methods that edit the prompt, such as PhotoMaker's, which replaces the class word."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import StableDiffusionXLPipeline

from bolid_train.data.features.feature import Feature, Photo, Role, Tensors
from bolid_train.diffusion.base import Base

CLASS_WORDS = ("man", "woman", "person", "boy", "girl", "people", "men", "women")
TRIGGER = "img"
"""The word that marks the word before it as the one for the person, in prompts written for PhotoMaker."""

_WORD = re.compile(rf"\b({'|'.join(CLASS_WORDS)})\b", re.IGNORECASE)
_MARKED = re.compile(rf"\b([\w-]+)(\s+{TRIGGER})\b")

Span = tuple[int, int]


def class_word(caption: str) -> tuple[str, Span | None]:
    """The caption without the trigger, and where in it the class word is, from its first letter to after its last.

    The class word is the word before the trigger or, without one, the first of `CLASS_WORDS`, if there is any.
    """
    if marked := _MARKED.search(caption):
        start, end = marked.span(2)
        return caption[:start] + caption[end:], marked.span(1)
    word = _WORD.search(caption)
    return caption, word.span() if word else None


class PromptTokens(Feature):
    """`token_ids` (2, L): the ids of both tokenizers, padded, without the trigger. `class_tokens` (2, L): which of them
    are of the class word, such as "woman"; none, if the caption has no such word."""

    name: ClassVar[str] = "prompt-tokens"
    role: ClassVar[Role] = "target"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {"token_ids": torch.int32, "class_tokens": torch.bool}
    inputs: ClassVar[tuple[str, ...]] = ("caption",)

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.folder / "tokenizer", base.folder / "tokenizer_2"]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            return [_tokens(pipe, photo.caption) for photo in photos]

        return encode


def _tokens(pipe: StableDiffusionXLPipeline, caption: str) -> Tensors:
    caption, span = class_word(caption)
    ids, masks = [], []
    for tokenizer in (pipe.tokenizer, pipe.tokenizer_2):
        length = tokenizer.model_max_length
        options = {"padding": "max_length", "max_length": length, "truncation": True}
        ids.append(torch.tensor(tokenizer(caption, **options).input_ids, dtype=torch.int32))
        masks.append(torch.zeros(length, dtype=torch.bool))
        if span:
            # Tokens end at the edges of words, so those before the word and up to its end are counted.
            start, end = (_count(tokenizer, caption[:edge]) for edge in span)
            masks[-1][1 + start : min(1 + end, length - 1)] = True  # the first token is that of the start
    return {"token_ids": torch.stack(ids), "class_tokens": torch.stack(masks)}


def _count(tokenizer: object, text: str) -> int:
    assert callable(tokenizer)
    return len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

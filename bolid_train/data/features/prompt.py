"""The caption of the photo to generate, as its prompt."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import StableDiffusionXLPipeline

from bolid_train.data.features.feature import Feature, Photo, Role, Tensors
from bolid_train.diffusion.base import Base


class Prompt(Feature):
    """`prompt_embeds` (L, D_text) and `pooled_prompt_embeds` (D_pooled), as in the stock pipeline."""

    name: ClassVar[str] = "prompt"
    role: ClassVar[Role] = "target"
    dtypes: ClassVar[Mapping[str, torch.dtype]] = {
        "prompt_embeds": torch.float16,
        "pooled_prompt_embeds": torch.float16,
    }
    inputs: ClassVar[tuple[str, ...]] = ("caption",)

    def shapes(self, base: Base) -> dict[str, tuple[int, ...]]:
        return {}

    def models(self, base: Base) -> Sequence[Path]:
        return [base.folder / part for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")]

    def encoder(self, pipe: StableDiffusionXLPipeline) -> Callable[[Sequence[Photo]], list[Tensors]]:
        def encode(photos: Sequence[Photo]) -> list[Tensors]:
            captions = [shorten(pipe, photo.caption) for photo in photos]
            prompts, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
            return [
                {"prompt_embeds": prompt, "pooled_prompt_embeds": pool}
                for prompt, pool in zip(prompts, pooled, strict=True)
            ]

        return encode


def shorten(pipe: StableDiffusionXLPipeline, prompt: str) -> str:
    """The prompt truncated to the text encoders' length, so that the pipeline does not warn about long captions."""
    max_tokens = pipe.tokenizer.model_max_length - 2
    ids = pipe.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
    return prompt if len(ids) <= max_tokens else pipe.tokenizer.decode(ids[:max_tokens])

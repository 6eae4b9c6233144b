"""Captioners of transformers, so small that they are built with random weights where a test needs them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

WORDS = ["a", "photo", "of", "person", "woman", "man", "in", "red", "blue", "dress", "coat", "with", "hair", "the"]
QUERIES = 4
CHAT = (
    "{% for m in messages %}<start>{{ m['role'] }} {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<end>{% endfor %}<start>assistant "
)


def tokenizer(specials: list[str], **roles: str) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate([*specials, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if "bos_token" in roles:
        begin = roles["bos_token"]
        words.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, vocabulary[begin])])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", additional_special_tokens=specials, **roles
    )


def save_random(network: PreTrainedModel, folder: Path) -> None:
    # With the usual, small initialisation every photo would get the same caption.
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    network.save_pretrained(folder)


def save_blip2(folder: Path) -> None:
    fast = tokenizer(["<pad>", "<s>", "</s>", "<unk>", "<image>"], bos_token="<s>", eos_token="</s>")
    images = BlipImageProcessor(size={"height": 28, "width": 28})
    Blip2Processor(images, fast, num_query_tokens=QUERIES).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        "model_type": "opt", "vocab_size": len(fast), "hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "word_embed_proj_dim": 16, "max_position_embeddings": 128,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    config = Blip2Config(
        vision_config=small | {"image_size": 28, "patch_size": 7},
        qformer_config=small | {"encoder_hidden_size": 16, "vocab_size": 40, "cross_attention_frequency": 1},
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=4,
    )
    save_random(Blip2ForConditionalGeneration(config), folder)


def save_qwen(folder: Path) -> None:
    """A chat model that reads photos at their own size."""
    vision = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    fast = tokenizer(["<pad>", "<start>", "<end>", "<unk>", *vision], eos_token="<end>")
    images = Qwen2VLImageProcessor(patch_size=14, merge_size=2, min_pixels=28 * 28, max_pixels=28 * 28 * 32)
    Qwen2_5_VLProcessor(images, fast, Qwen2VLVideoProcessor(), chat_template=CHAT).save_pretrained(folder)
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 16,
            "fullatt_block_indexes": [1], "window_size": 56,
        },
        text_config={
            "vocab_size": len(fast), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0},
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        },
        image_token_id=6, video_token_id=7, vision_start_token_id=4, vision_end_token_id=5,
    )  # fmt: skip
    save_random(Qwen2_5_VLForConditionalGeneration(config), folder)

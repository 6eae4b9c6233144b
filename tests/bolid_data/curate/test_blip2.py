"""BLIP-2 through transformers, on a tiny random model that is built and saved here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    PreTrainedTokenizerFast,
)

from bolid_data.curate.blip2 import Blip2Captioner, tidy
from bolid_data.curate.caption import load_captioner
from bolid_data.curate.measure import Photo
from bolid_data.errors import BolidError, UsageError

WORDS = [
    "a",
    "photo",
    "of",
    "person",
    "woman",
    "man",
    "in",
    "red",
    "blue",
    "dress",
    "coat",
    "with",
    "hair",
    "the",
]
QUERIES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-blip2"
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    images = BlipImageProcessor(size={"height": 28, "width": 28})
    Blip2Processor(images, fast, num_query_tokens=QUERIES).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    image_token = len(fast) if "<image>" not in fast.get_vocab() else fast.get_vocab()["<image>"]
    config = Blip2Config(
        vision_config=small | {"image_size": 28, "patch_size": 7},
        qformer_config=small | {"encoder_hidden_size": 16, "vocab_size": 40, "cross_attention_frequency": 1},
        text_config={
            "model_type": "opt",
            "vocab_size": len(vocabulary) + 1,
            "hidden_size": 16,
            "ffn_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "word_embed_proj_dim": 16,
            "max_position_embeddings": 128,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        num_query_tokens=QUERIES,
        image_token_index=image_token,
    )
    torch.manual_seed(0)
    network = Blip2ForConditionalGeneration(config)
    # The usual initialisation is so small that every photo reads the same.
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    network.save_pretrained(folder)
    return folder


def photos(count: int) -> list[Photo]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (3 + i, 4, 3), dtype=np.uint8) for i in range(count)]
    return [Photo(str(i), Image.fromarray(p).resize((40 + 9 * i, 60))) for i, p in enumerate(pictures)]


@pytest.mark.parametrize("prompt", ["", "a photo of"])
def test_a_batch_is_captioned_like_its_photos_one_by_one(folder: Path, prompt: str) -> None:
    captioner = Blip2Captioner("tiny", folder, prompt=prompt, batch=2)
    seen = photos(5)
    together = captioner.caption(seen, [None] * 5)
    assert together == [captioner.caption([photo], [None])[0] for photo in seen]
    assert len(set(together)) > 1  # the photo, not only the prompt, is what is captioned
    assert set(" ".join(together).split()) <= set(WORDS)  # no special token, none of the image's


def test_a_folder_is_found_by_name_beside_the_manifest(folder: Path) -> None:
    captioner = load_captioner(folder.name, near=folder.parent)
    again = load_captioner(folder.name, near=folder.parent)
    assert captioner.model.name == "tiny-blip2"
    assert captioner.model == again.model
    assert len(captioner.caption(photos(1), [None])) == 1


def test_the_model_changes_with_its_weights(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / folder.name
    changed.mkdir()
    for file in folder.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    network = Blip2ForConditionalGeneration.from_pretrained(changed)
    torch.nn.init.zeros_(network.query_tokens)
    network.save_pretrained(changed)
    ids = {load_captioner(folder.name, near=place).model.id for place in (folder.parent, tmp_path)}
    assert len(ids) == 2


def test_a_folder_that_is_no_blip2_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UsageError, match=r"other: not a BLIP-2 model.*clip"):
        load_captioner("other", near=tmp_path)


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    network = Blip2ForConditionalGeneration.from_pretrained(folder)
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BolidError, match="safetensors"):
        Blip2Captioner("pickled", tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a woman\nin a red dress ", "a woman in a red dress"),
        ("a man in a coat in a coat in a coat", "a man in a coat"),
        ("a red red, red dress", "a red dress"),
        ("two women and two men", "two women and two men"),
    ],
)
def test_captions_are_one_line_without_repetition(text: str, line: str) -> None:
    assert tidy(text) == line

"""The small world's CLIPs tell what a photo shows, and load as any CLIP does."""

import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPVisionModelWithProjection

from bolid_data.weights import embedded_path
from bolid_train.diffusion.clip import NAMES, load_clip
from small_world.check.clip import probe, retrieval, zero_shot
from small_world.clip import save_image_encoder
from small_world.pixels import pixels
from small_world.tokenizer import build_tokenizer
from small_world.training.clip import RECIPES, is_true, save, train
from small_world.training.loop import Schedule
from small_world.world.bodies import TRAITS, describe
from small_world.world.captions import WORDS
from small_world.world.photos import Photos, draw_split
from small_world.world.splits import HELD_OUT


@pytest.fixture(scope="module")
def photos() -> Photos:
    return draw_split(replace(HELD_OUT, people=12))


@pytest.mark.parametrize("name", NAMES)
def test_an_unseen_photo_finds_its_caption_and_what_is_worn(name: str, photos: Photos) -> None:
    clip = load_clip(name)
    images = clip.embed_images(pixels(photos, torch.arange(len(photos))))
    found = retrieval(clip, images, photos)
    assert found["photo to caption, first of 96"] > 0.5  # by chance 0.01
    assert found["caption to photo, first of 96"] > 0.5
    seen = zero_shot(clip, images, photos)
    assert seen["zero-shot background (5)"] > 0.8
    assert seen["zero-shot top (14)"] > 0.6


def test_the_evaluator_is_another_model_than_the_one_trained_against() -> None:
    first, second = (load_clip(name).model for name in NAMES)
    assert first.config.vision_config.hidden_size != second.config.vision_config.hidden_size
    assert RECIPES[NAMES[0]].seed != RECIPES[NAMES[1]].seed


def test_every_word_of_the_captions_and_builds_is_one_token() -> None:
    tokenizer = build_tokenizer()
    builds = [describe(np.full(len(TRAITS), value)) for value in (-1.0, 1.0)]
    words = set(re.findall(r"[a-z]+", " ".join([*chain.from_iterable(WORDS.values()), *builds, "a photo of person"])))
    assert len(words) > 60
    assert [word for word in words if len(tokenizer.tokenize(word)) != 1] == []
    for name in NAMES:
        assert load_clip(name).tokenizer.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("name", NAMES)
def test_stock_transformers_loads_the_folder_in_full_precision(name: str, photos: Photos) -> None:
    clip = load_clip(name)
    folder = embedded_path(name)
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    assert clip.model.dtype == model.dtype == torch.float32
    texts = [str(photos.caption(index)) for index in range(4)]
    pictures = [Image.fromarray(image) for image in photos.images[:4]]
    with torch.inference_mode():
        inputs = processor(text=texts, images=pictures, return_tensors="pt", padding="max_length")
        stock = model(**inputs)
        torch.testing.assert_close(clip.embed_texts(texts), stock.text_embeds, atol=1e-4, rtol=0)
        images = clip.embed_images(pixels(photos, torch.arange(4)))
        torch.testing.assert_close(images, stock.image_embeds, atol=1e-4, rtol=0)


def test_the_image_encoder_of_a_pipeline_sees_what_clip_0_sees(tmp_path: Path, photos: Photos) -> None:
    save_image_encoder(tmp_path)
    encoder = CLIPVisionModelWithProjection.from_pretrained(tmp_path)
    processor = CLIPImageProcessor.from_pretrained(tmp_path)
    assert encoder.dtype == torch.float32
    large = Image.fromarray(photos.images[0]).resize((128, 96))
    assert processor(large, return_tensors="pt").pixel_values.shape == (1, 3, 64, 64)
    with torch.inference_mode():
        embeds = encoder(processor(Image.fromarray(photos.images[0]), return_tensors="pt").pixel_values).image_embeds
        expected = load_clip("clip-0").embed_images(pixels(photos, torch.tensor([0])))
    torch.testing.assert_close(torch.nn.functional.normalize(embeds), expected, atol=1e-4, rtol=0)


def test_a_photo_that_a_caption_is_true_of_is_no_wrong_answer(photos: Photos) -> None:
    whole = [photos.caption(index) for index in range(8)]
    vague = [replace(caption, **dict.fromkeys(("skin", "haircut", "hair", "sleeves", "top"), "")) for caption in whole]
    vague[0] = replace(vague[0], **dict.fromkeys(("framing", "bottom", "legs", "arms", "background"), ""))
    labels = torch.from_numpy(photos.labels[:8])
    assert is_true(whole, labels).diagonal().all()
    told = is_true(vague, labels)
    assert told.diagonal().all()
    assert told[0].all()  # "a photo of a person"
    assert not told[1:].all()


def test_a_trained_clip_is_saved_as_it_is(tmp_path: Path, photos: Photos) -> None:
    trained = train(replace(RECIPES["clip-1"], schedule=Schedule(1, 1e-4)), photos, tmp_path / "work")
    save(trained, tmp_path / "clip-1")
    images = pixels(photos, torch.arange(4))
    with torch.inference_mode():
        before, after = trained.embed_images(images), load_clip(str(tmp_path / "clip-1")).embed_images(images)
    torch.testing.assert_close(before, after, atol=5e-3, rtol=0)


def test_the_probe_reads_what_is_there_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 8, generator=generator)
    unknown = torch.randn(400, 1, generator=generator)
    explained = probe(features, torch.cat([features[:, :1] - features[:, 1:2], unknown], 1), torch.arange(400) % 2)
    assert explained[0] > 0.95
    assert explained[1] < 0.05

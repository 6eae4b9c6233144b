"""The small worlds' CLIPs tell what a photo shows, and load as any CLIP does."""

import json
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
from small_world.clip import CLIPS, build_clip, save_image_encoder
from small_world.pixels import pixels
from small_world.prompts import prompts
from small_world.tokenizer import build_tokenizer
from small_world.training.clip import RECIPES, Contrasting, Pretraining, is_true, save, train
from small_world.training.loop import Schedule
from small_world.world import photos as flat
from small_world.world.bodies import TRAITS, describe
from small_world.world.captions import WORDS
from small_world.world.splits import HELD_OUT
from small_world.world3d.photos import Photos
from small_world.worlds import FLAT, UNSAID, WORLD_3D, WORLDS, World


@pytest.fixture(scope="module")
def photos() -> flat.Photos:
    return flat.draw_split(replace(HELD_OUT, people=12))


@pytest.mark.parametrize("name", CLIPS)
def test_an_unseen_photo_finds_its_caption_and_what_is_worn(name: str, photos: flat.Photos) -> None:
    clip = load_clip(name)
    images = clip.embed_images(pixels(photos, torch.arange(len(photos))))
    found = retrieval(clip, images, photos)
    assert found["photo to caption, first of 96"] > 0.5  # by chance 0.01
    assert found["caption to photo, first of 96"] > 0.5
    seen = zero_shot(clip, images, photos)
    assert seen["zero-shot background (5)"] > 0.8
    assert seen["zero-shot top (14)"] > 0.6


def test_the_evaluator_is_another_model_than_the_one_trained_against() -> None:
    first, second = (load_clip(name).model for name in CLIPS)
    assert first.config.vision_config.hidden_size != second.config.vision_config.hidden_size
    for world in WORLDS.values():
        recipes = [RECIPES[world.model(name)] for name in CLIPS]
        assert recipes[0].seed != recipes[1].seed
        assert recipes[0].width != recipes[1].width


def test_the_clips_of_all_worlds_can_be_named() -> None:
    assert set(NAMES) == set(RECIPES) == {world.model(name) for world in WORLDS.values() for name in CLIPS}


def test_every_word_of_the_captions_and_builds_is_one_token() -> None:
    tokenizer = build_tokenizer()
    builds = [describe(np.full(len(TRAITS), value)) for value in (-1.0, 1.0)]
    words = set(re.findall(r"[a-z]+", " ".join([*chain.from_iterable(WORDS.values()), *builds, "a photo of person"])))
    assert len(words) > 60
    assert [word for word in words if len(tokenizer.tokenize(word)) != 1] == []
    for name in CLIPS:
        assert load_clip(name).tokenizer.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("name", CLIPS)
def test_stock_transformers_loads_the_folder_in_full_precision(name: str, photos: flat.Photos) -> None:
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


def test_the_image_encoder_of_a_pipeline_sees_what_clip_0_sees(tmp_path: Path, photos: flat.Photos) -> None:
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


@pytest.mark.parametrize("world", [FLAT, WORLD_3D], ids=lambda world: world.name)
def test_a_photo_that_a_caption_is_true_of_is_no_wrong_answer(world: World) -> None:
    first, other = [0] * len(world.attributes), [1] * len(world.attributes)
    legs, nothing = world.attributes.index("legs"), world.words["legs"].index("")
    without_legs = [*first[:legs], nothing, *first[legs + 1 :]]
    vague = [*[UNSAID] * (len(first) - 1), first[-1]]
    said = torch.tensor([first, other, without_legs, vague])
    assert is_true(said, said[:3], world).tolist() == [
        [True, False, False], [False, True, False], [True, False, True], [True, False, True]
    ]  # fmt: skip


def test_the_losses_of_the_first_steps_are_those_that_the_committed_weights_were_trained_with(
    photos: flat.Photos, tmp_path: Path
) -> None:
    recipe = replace(RECIPES["clip-1"], schedule=replace(RECIPES["clip-1"].schedule, steps=2, report_every=1))
    train(recipe, photos, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    before = {"contrastive": [4.63802, 4.57415], "words": [1.61857, 1.60657], "joints": [1.29152, 1.30394],
              "places": [1.99911, 1.95271]}  # fmt: skip
    for name, losses in before.items():
        assert [line[name] for line in lines] == pytest.approx(losses, rel=2e-3)


def test_in_three_dimensions_a_trained_clip_is_saved_as_it_is(few: Photos, tmp_path: Path) -> None:
    recipe = replace(RECIPES["clip-1-3d"], schedule=Schedule(1, 1e-4))
    trained = train(recipe, few, tmp_path / "work", WORLD_3D)
    save(trained, tmp_path / "clip")
    loaded = load_clip(str(tmp_path / "clip"))
    assert loaded.tokenizer.get_vocab() == build_tokenizer(WORLD_3D.vocabulary).get_vocab()
    captions = [few.caption(row) for row in range(len(few))]
    images = pixels(few, torch.arange(len(few)))
    with torch.inference_mode():
        torch.testing.assert_close(trained.embed_images(images), loaded.embed_images(images), atol=5e-3, rtol=0)
        torch.testing.assert_close(trained.embed_texts(captions), loaded.embed_texts(captions), atol=5e-3, rtol=0)
        seen = CLIPModel.from_pretrained(tmp_path / "clip").vision_model(loaded.pixel_values(images))
    assert seen.last_hidden_state.shape[1] == 1 + 8 * 8


def test_what_a_photo_does_not_show_is_not_asked_of_it(few: Photos) -> None:
    torch.manual_seed(0)
    clip = build_clip(32, 1, 1, WORLD_3D)
    contrasting = Contrasting(Pretraining(clip.model), clip, few, WORLD_3D)
    nothing = torch.tensor([words.index("") for words in WORLD_3D.words.values()]).repeat(3, 1)
    embeds, scale = torch.randn(3, 128), torch.tensor(10.0)
    with torch.inference_mode():
        assert contrasting._words(embeds, nothing, scale) == 0
        shown = nothing.clone()
        shown[0, WORLD_3D.attributes.index("stance")] = 2
        loss = contrasting._words(embeds, shown, scale)
        others = torch.cat([embeds[:1], torch.randn(2, 128)])
        assert loss > 0 and contrasting._words(others, shown, scale) == loss


def test_zero_shot_counts_the_photos_that_show_it(few: Photos) -> None:
    clip = build_clip(32, 1, 1, WORLD_3D)
    captions = prompts(WORLD_3D)["stance"]
    stances = torch.from_numpy(few.labels[:, WORLD_3D.attributes.index("stance")])
    shown = stances < len(captions)
    assert 0 < shown.sum() < len(few)
    texts = clip.embed_texts(captions).detach()
    images = texts[stances.clamp(max=len(captions) - 1)]
    assert zero_shot(clip, images, few, WORLD_3D)["zero-shot stance (5)"] == 1
    images[shown] = -images[shown]
    assert zero_shot(clip, images, few, WORLD_3D)["zero-shot stance (5)"] < 1


def test_the_probe_reads_what_is_there_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 8, generator=generator)
    unknown = torch.randn(400, 1, generator=generator)
    explained = probe(features, torch.cat([features[:, :1] - features[:, 1:2], unknown], 1), torch.arange(400) % 2)
    assert explained[0] > 0.95
    assert explained[1] < 0.05

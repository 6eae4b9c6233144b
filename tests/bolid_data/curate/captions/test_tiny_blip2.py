"""The embedded BLIP-2 on new made-up people, and its training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bolid_data import weights
from bolid_data.curate.captions.captioner import tidy
from bolid_data.curate.captions.registry import TINY, load_captioner
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.manifest import Manifest
from bolid_data.synthetic.caption import Description, read
from small_world.labels import from_labels, to_labels
from small_world.training import tiny_blip2, tiny_blip2_samples
from small_world.training.tiny_blip2_samples import (
    described,
    draw_chunk,
    draw_samples,
    says,
    small_size,
)

NEW_PEOPLE_SEED = 31337
FULL = (
    "a full-body photo of a person from the front, with grey hair, in a long-sleeved red top and a blue skirt, "
    "standing, arms down, by the sea"
)
BUST = "a head-and-shoulders photo of a person from behind, in an orange jacket, on a street"
DESCRIBED = "a waist-up photo of a person with red hair, in a navy top, arms raised, against a grey background"


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Photo, Description]]:
    samples = draw_samples(NEW_PEOPLE_SEED, people=range(8), photos=4, draw_size=small_size)
    return [(Photo(str(i), Image.fromarray(one.image)), described(one)) for i, one in enumerate(samples)]


def test_new_people_are_described_correctly(drawn: list[tuple[Photo, Description]]) -> None:
    names = {"caption": TINY, "device": "cpu"}
    settings = {"name": "set", "source": {"kind": "folder", "path": "photos"}, "models": names, "path": Path("x.toml")}
    captioner = load_captioner(Manifest.model_validate(settings))
    captions = captioner.caption([photo for photo, _ in drawn], [None] * len(drawn))
    verdicts = np.array([says(caption, true) for caption, (_, true) in zip(captions, drawn, strict=True)])
    assert np.nanmean(verdicts > 0, where=~np.isnan(verdicts)) >= 0.8  # the card has the exact figures
    assert all(read(caption) for caption in captions)


def test_it_is_small_and_consists_of_safetensors() -> None:
    model = weights.find(TINY)
    assert sum(file.stat().st_size for file in model.path.iterdir()) < 8_200_000  # 4M parameters in half precision
    assert {file.suffix for file in model.path.iterdir()} == {".json", ".safetensors"}


def test_sentences_describe_the_photo_in_known_words(drawn: list[tuple[Photo, Description]]) -> None:
    tokenizer = tiny_blip2.build_tokenizer()
    for _, description in drawn:
        sentence = description.sentence(build=False)
        assert read(sentence) == replace(description, build="") == from_labels(to_labels(description))
        assert (
            tokenizer.decode(tokenizer(sentence)["input_ids"], skip_special_tokens=True) == sentence == tidy(sentence)
        )


@pytest.mark.parametrize("caption", [FULL, BUST])
def test_a_sentence_that_was_read_is_the_same(caption: str) -> None:
    description = read(caption)
    assert description and description.sentence(build=True) == caption
    built = replace(description, build="tall and slim")
    assert read(built.sentence(build=True)) == built
    assert built.sentence(build=False) == caption
    assert read(DESCRIBED) is None


@pytest.mark.parametrize(
    ("caption", "verdicts"),
    [
        (FULL, [1] * 11),
        (FULL.replace("blue", "green").replace("down", "raised"), [1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1]),
        (DESCRIBED, [0, -1, 0, -1, 0, 1, -1, -1, -1, 0, -1]),
        (DESCRIBED.replace("navy top", "red top and blue shorts or skirt"), [0, -1, 0, -1, 1, 1, 1, 1, -1, 0, -1]),
    ],
)
def test_an_attribute_is_right_wrong_or_left_out(caption: str, verdicts: list[float]) -> None:
    true = read(FULL)
    assert true and says(caption, true) == verdicts


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_blip2_samples, "PEOPLE", 2)
    monkeypatch.setattr(tiny_blip2_samples, "PHOTOS", 2)
    monkeypatch.setattr(tiny_blip2, "CHECKPOINT_EVERY", 1)
    draw_chunk(tmp_path / f"{tiny_blip2_samples.TRAINING_SEED}.npz")

    def train() -> dict[str, torch.Tensor]:
        return tiny_blip2.train(tmp_path, steps=3, batch=2, rate=1e-3, chunks=1, workers=1, seed=0).state_dict()

    uninterrupted = train()
    (tmp_path / "checkpoint.pt").unlink()
    real, calls = tiny_blip2.augment, []

    def stopping(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny_blip2, "augment", stopping)
    with pytest.raises(KeyboardInterrupt):
        train()
    resumed = train()
    assert len(calls) == 4  # one before the stop, one stopped, two after it
    assert all(torch.equal(resumed[name], tensor) for name, tensor in uninterrupted.items())

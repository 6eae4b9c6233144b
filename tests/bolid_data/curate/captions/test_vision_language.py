"""Captioners of transformers, on tiny models with random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration

from bolid_data.curate.captions.captioner import Captioner, CaptionError, tidy
from bolid_data.curate.captions.registry import load_captioner
from bolid_data.curate.captions.vision_language import INSTRUCTION
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest
from tests.support.tiny_captioners import WORDS, save_blip2, save_qwen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the models `blip2` and `qwen`."""
    folder = tmp_path_factory.mktemp("models")
    save_blip2(folder / "blip2")
    save_qwen(folder / "qwen")
    return folder


def load(folder: Path, name: str, device: str = "cpu", **caption: Any) -> Captioner:
    source = {"kind": "folder", "path": "photos"}
    names = {"caption": name, "device": device}
    settings = {"name": "set", "source": source, "models": names, "caption": caption, "path": folder / "bolid.toml"}
    return load_captioner(Manifest.model_validate(settings))


def photos(sizes: list[tuple[int, int]]) -> list[Photo]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (5, 4, 3), dtype=np.uint8) for _ in sizes]
    return [Photo(str(i), Image.fromarray(p).resize(s)) for i, (p, s) in enumerate(zip(pictures, sizes, strict=True))]


SIZES = [(30, 40), (60, 80), (40, 30), (40, 40), (31, 40)]


@pytest.mark.parametrize(
    ("name", "prompt"), [("blip2", ""), ("blip2", "a photo of"), ("qwen", ""), ("qwen", "photo of a person")]
)
def test_a_photos_caption_does_not_depend_on_the_photos_beside_it(folder: Path, name: str, prompt: str) -> None:
    captioner = load(folder, name, prompt=prompt, batch_size=2, max_new_tokens=6)
    batch = photos(SIZES)
    captions = captioner.caption(batch, [None] * 5)
    assert captions == [captioner.caption([photo], [None])[0] for photo in batch]
    assert captions[::-1] == captioner.caption(batch[::-1], [None] * 5)
    assert len(set(captions)) > 1  # captions depend on the photo, not only on the prompt
    assert set(" ".join(captions).split()) <= set(WORDS)  # no special tokens


@pytest.mark.parametrize("name", ["blip2", "qwen"])
def test_captions_are_no_longer_than_the_manifest_says(folder: Path, name: str) -> None:
    lengths = [
        [
            len(caption.split())
            for caption in load(folder, name, max_new_tokens=limit).caption(photos(SIZES), [None] * 5)
        ]
        for limit in (2, 12)
    ]
    assert max(lengths[0]) <= 2 < max(lengths[1]) <= 12


def test_a_chat_model_gets_an_instruction_and_blip2_does_not(folder: Path) -> None:
    assert load(folder, "qwen").prompt == INSTRUCTION
    assert load(folder, "blip2").prompt == ""
    assert {load(folder, name, prompt="a man").prompt for name in ("qwen", "blip2")} == {"a man"}


def test_the_model_changes_with_what_changes_its_captions_and_only_then(folder: Path) -> None:
    model = load(folder, "blip2").model
    assert model.name == "blip2"
    assert model == load(folder, "blip2", batch_size=3, prompt="a photo of").model
    others = [load(folder, "blip2", max_new_tokens=7).model, load(folder, "blip2", dtype="bfloat16").model]
    assert len({model.id, *(other.id for other in others)}) == 3


def test_the_model_changes_with_its_weights(folder: Path, tmp_path: Path) -> None:
    copy(folder / "blip2", tmp_path / "blip2")
    network = Blip2ForConditionalGeneration.from_pretrained(tmp_path / "blip2")
    torch.nn.init.zeros_(network.query_tokens)
    network.save_pretrained(tmp_path / "blip2")
    assert load(folder, "blip2").model.id != load(tmp_path, "blip2").model.id


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_runs_in_the_manifests_precision(folder: Path, dtype: str) -> None:
    captioner = load(folder, "blip2", dtype=dtype, max_new_tokens=4)
    assert dtype in captioner.model.config
    assert len(captioner.caption(photos(SIZES[:1]), [None])) == 1


def test_weights_in_half_precision_alone_are_loaded(folder: Path, tmp_path: Path) -> None:
    copy(folder / "blip2", tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").rename(tmp_path / "half" / "model.fp16.safetensors")
    half, full = load(tmp_path, "half"), load(folder, "blip2")
    assert half.caption(photos(SIZES), [None] * 5) == full.caption(photos(SIZES), [None] * 5)


def test_a_device_that_does_not_exist_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"cuda:99"):
        load(folder, "blip2", device="cuda:99")


@pytest.mark.parametrize("config", ['{"model_type": "clip"}', '{"model_type": "own", "auto_map": {}}', "[]", ""])
def test_a_model_that_does_not_caption_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(config)
    (tmp_path / "other" / "model.safetensors").touch()
    with pytest.raises(UsageError, match=r"other: .*config.json"):
        load(tmp_path, "other")


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy(folder / "blip2", tmp_path / "pickled", "model.safetensors")
    network = Blip2ForConditionalGeneration.from_pretrained(folder / "blip2")
    torch.save(network.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(BolidError, match=r"pickled: .*safetensors"):
        load(tmp_path, "pickled")


def test_a_model_without_all_its_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    copy(folder / "blip2", tmp_path / "half")
    network = Blip2ForConditionalGeneration.from_pretrained(folder / "blip2")
    kept = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("qformer")}
    network.save_pretrained(tmp_path / "half", state_dict=kept)
    with pytest.raises(BolidError, match=r"half: .*weights are missing from .*qformer"):
        load(tmp_path, "half")


def test_a_model_without_a_processor_is_refused(folder: Path, tmp_path: Path) -> None:
    copy(folder / "blip2", tmp_path / "bare", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(BolidError, match="bare: "):
        load(tmp_path, "bare")


def test_a_model_that_fails_on_a_photo_raises_caption_error(folder: Path) -> None:
    with pytest.raises(CaptionError, match="blip2"):  # the language model has 128 positions
        load(folder, "blip2", max_new_tokens=512, prompt="a photo of " * 50).caption(photos(SIZES[:1]), [None])


@pytest.mark.parametrize("name", ["lavis:blip2_opt", "lavis:", "lavis:/caption"])
def test_a_lavis_model_needs_its_name_and_type(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"lavis:<model>/<type>"):
        load(tmp_path, name)


def copy(source: Path, target: Path, *without: str) -> None:
    target.mkdir()
    for file in source.iterdir():
        if file.name not in without:
            (target / file.name).write_bytes(file.read_bytes())


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

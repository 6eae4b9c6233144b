"""The validation grid: the same people, prompts and noise at every look."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bolid_data.manifest import Manifest
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import People, ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.denoiser import Denoiser
from bolid_train.methods import registry
from bolid_train.methods.protocol import Method
from bolid_train.training.step import training_features
from bolid_train.training.validation import _with_prompts, encode_prompts, validate, validation_people
from tests.support.drawn_batches import drawn_batch
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three people in `train` and two in `val`."""
    folder = tmp_path_factory.mktemp("validation")
    people = drawn_people({"anna": 4, "boris": 3}) | drawn_people({"clara": 12, "daria": 3}, "val")
    write_shards(folder / "shards", people)
    return folder


def _grid(folder: Path, out: Path, change: float = 0.0) -> np.ndarray:
    """The pixels of a grid, of a method whose weights are moved by `change`."""
    settings = write_manifest(folder)
    method, cache, unet, people = _installed(settings, folder)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(change * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    validate(cache, method, ("text", "ref", "body"), unet, people, out, 20, seed=0)
    return np.asarray(Image.open(out / "step-00000020.png"))


def _installed(settings: Manifest, folder: Path) -> tuple[Method, FeatureCache, torch.nn.Module, dict]:
    shards = ShardDataset(folder / "shards")
    people = _people(folder)
    features = training_features(settings.train, folder)
    cache = FeatureCache(folder / "features", Base.resolve(settings.train, folder), settings.train, features)
    people = cache.fill(shards, people, CPU)
    torch.manual_seed(0)
    denoiser = Denoiser.from_settings(cache.base, settings.train, CPU)
    method = registry.resolve(settings.train.method).make(settings.train, cache.base)
    method.install(denoiser.unet, cache.base)
    return method, cache, denoiser.unet, people


def test_a_prompt_replaces_all_that_the_method_reads_of_a_caption(folder: Path) -> None:
    settings = write_manifest(folder, method="photomaker").train
    base = Base.resolve(settings, folder)
    encoded = encode_prompts(["a woman", "a wizard img by the sea"], base, settings, CPU, folder)
    empty = {name: torch.zeros_like(tensor)[None] for name, tensor in encoded[0].tensors.items()}
    embeds = {name: empty.pop(name) for name in ("prompt_embeds", "pooled_prompt_embeds")}
    batch = replace(drawn_batch(rows=1), features=empty, **embeds)
    changed = _with_prompts(batch, [encoded[1]])
    assert torch.equal(changed.features["token_ids"][0], encoded[1].tensors["token_ids"])
    assert changed.features["class_tokens"].any() and changed.prompt_embeds.any()
    assert not batch.features["token_ids"].any(), "the batch itself stays"


def _people(folder: Path) -> People:
    shards, settings = ShardDataset(folder / "shards"), write_manifest(folder).train
    return validation_people(shards, settings, usable_people(shards, settings))


@pytest.fixture(scope="module")
def before(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """A grid of weights that nothing changed."""
    return _grid(folder, tmp_path_factory.mktemp("before"))


def test_two_looks_at_the_same_weights_show_the_same_pictures(folder: Path, before: np.ndarray, tmp_path: Path) -> None:
    assert (before == _grid(folder, tmp_path)).all()


def test_what_was_learnt_in_between_is_seen(folder: Path, before: np.ndarray, tmp_path: Path) -> None:
    changed = (before != _grid(folder, tmp_path, change=0.5)).any(axis=2)
    columns = changed.any(axis=0).nonzero()[0] / changed.shape[1]
    assert columns.min() > 1 / 4, "the reference, the first of four columns, stays"
    assert changed.mean() > 0.05


def test_people_who_are_not_trained_on_are_looked_at_with_nine_photos_at_most(folder: Path) -> None:
    people = _people(folder)
    assert {person: len(photos) for person, photos in people.items()} == {"clara": 9, "daria": 3}


def test_without_others_those_who_are_trained_on_are_looked_at_with_all_their_photos(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", drawn_people({"anna": 12, "boris": 1}))
    people = _people(tmp_path)
    assert {person: len(photos) for person, photos in people.items()} == {"anna": 12, "boris": 1}

"""The feature cache is whole, resumable and follows the data."""

import shutil
from pathlib import Path

import pytest
import torch

from bolid_train.base import Base
from bolid_train.batches import Pick
from bolid_train.encoders import Encoders, crop_square
from bolid_train.features import FeatureCache
from bolid_train.views import Shards
from tests.bolid_train.conftest import draw_person, drawn_people, write_manifest, write_shards

CPU = torch.device("cpu")


def _cache(folder: Path) -> FeatureCache:
    settings = write_manifest(folder).train
    return FeatureCache(folder / "features", Base.find(settings, folder), settings)


@pytest.fixture
def folder(trained: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of a dataset whose cache is whole."""
    for name in ("shards", "features"):
        shutil.copytree(trained[0] / name, tmp_path / name)
    return tmp_path


def test_a_whole_cache_loads_no_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, cache = Shards(folder / "shards"), _cache(folder)
    monkeypatch.setattr(Base, "pipeline", lambda *_, **__: pytest.fail("an encoder was loaded"))
    assert cache.fill(shards, shards.people("train"), CPU) == 0


def test_what_is_missing_is_made_again_to_the_same_bytes(folder: Path) -> None:
    shards, cache = Shards(folder / "shards"), _cache(folder)
    files = {path: path.read_bytes() for path in cache.folder.glob("*/*.safetensors")}
    assert len(files) == 8
    for path in list(files)[:3]:
        path.unlink()
    assert cache.fill(shards, shards.people("train"), CPU) > 0
    assert {path: path.read_bytes() for path in cache.folder.glob("*/*.safetensors")} == files


def test_the_cache_holds_what_the_encoders_say(folder: Path) -> None:
    shards, cache = Shards(folder / "shards"), _cache(folder)
    sample = shards.people("train")["boris"][1]
    photo = shards.photo(sample)
    encoders = Encoders(cache.base.pipeline(CPU), cache.settings)
    embeds, confidence = encoders.views([photo], [sample.keypoints])
    batch = cache.batch([Pick(sample, sample, [sample])])
    close = {"atol": 2e-3, "rtol": 2e-3}
    torch.testing.assert_close(batch.view_embeds[0].float(), embeds, **close)
    torch.testing.assert_close(batch.confidence[0], confidence)
    torch.testing.assert_close(batch.image_embeds.float(), encoders.references([photo]), **close)
    torch.testing.assert_close(batch.prompt_embeds.float(), encoders.text([sample.caption])[0], **close)
    square = crop_square(photo, sample.keypoints, cache.settings.resolution)[0]
    torch.testing.assert_close(batch.latents.float(), encoders.latents([square]), **close)


def test_another_caption_makes_other_features_and_a_person_gone_leaves_none(folder: Path) -> None:
    before = _cache(folder)
    shards = Shards(folder / "shards")
    old = before.path(shards.people("train")["anna"][0])
    people = drawn_people({"anna": 2})
    people["anna"][0] = ("train", *draw_person(0), "another caption")
    shutil.rmtree(folder / "shards")
    write_shards(folder / "shards", people)
    shards, cache = Shards(folder / "shards"), _cache(folder)
    cache.fill(shards, shards.people("train"), CPU)
    assert [path.name for path in cache.folder.glob("*/")] == ["anna"]
    assert len(list(cache.folder.glob("anna/*"))) == 2
    assert any(cache.path(sample) != old for sample in shards.people("train")["anna"])


def test_the_crop_keeps_the_person_and_its_keypoints(dataset: Path) -> None:
    shards = Shards(dataset / "shards")
    sample = shards.people("train")["anna"][0]
    square, keypoints, time_ids = crop_square(shards.photo(sample), sample.keypoints, 64)
    assert square.size == (64, 64)
    height, width, top, left, *target = time_ids.tolist()
    assert (height, width, left, target) == (320, 240, 0, [64, 64])
    nose = torch.tensor(sample.keypoints[0][:2])
    torch.testing.assert_close(keypoints[0, :2] * 64, nose * 64 / 240 - torch.tensor([left, top]), atol=1, rtol=0)

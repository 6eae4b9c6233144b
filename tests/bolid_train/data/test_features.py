"""The feature cache is whole, resumable and follows the data."""

import dataclasses
import hashlib
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pytest
import torch

from bolid_data.errors import BolidError
from bolid_train.data.crops import crop
from bolid_train.data.features.batches import make_batch
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.features.feature import Feature, Photo
from bolid_train.data.features.prompt import Prompt
from bolid_train.data.features.reference import ReferenceEmbedding
from bolid_train.data.features.target import encode_images
from bolid_train.data.features.views import ViewEmbedding, ViewLatents, fractions
from bolid_train.data.preflight import usable_people
from bolid_train.data.sampler import BatchItem, PersonSampler
from bolid_train.data.shard_dataset import People, Sample, ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.diffusion.clip import load_clip
from bolid_train.training.step import training_features
from tests.support.drawn_shards import draw_person, drawn_people, write_manifest, write_shards

CPU = torch.device("cpu")
CLOSE = {"atol": 2e-3, "rtol": 2e-3}


def make_cache(folder: Path, **train: object) -> FeatureCache:
    settings = write_manifest(folder, **train).train
    return FeatureCache(
        folder / "features", Base.resolve(settings, folder), settings, training_features(settings, folder)
    )


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.glob("features/*/*/*.safetensors")}


@pytest.fixture(scope="module")
def filled(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset's folder whose cache is whole; do not change it."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copytree(dataset / "shards", folder / "shards")
    shards = ShardDataset(folder / "shards")
    make_cache(folder).fill(shards, shards.people("train"), CPU)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(filled, tmp_path / "copy"))


def test_two_processes_make_what_one_does(folder: Path) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    files, people = _files(folder), shards.people("train")
    samples = [sample for photos in people.values() for sample in photos] * 3  # more than one chunk
    for path in files:
        path.unlink()
    made = []
    for process in (0, 1):
        cache._fill(shards, samples, CPU, (process, 2))
        made.append(len(_files(folder)))
    assert made[0] > 0 and _files(folder) == files


def test_a_whole_cache_loads_no_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    monkeypatch.setattr(Base, "pipeline", lambda *_, **__: pytest.fail("an encoder was loaded"))
    people = shards.people("train")
    assert cache.fill(shards, people, CPU) == people


def test_what_is_missing_is_made_again_to_the_same_bytes(folder: Path) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    files = _files(folder)
    assert len(files) == 5 * 8, "five features of eight photos"
    for path in list(files)[::3]:
        path.unlink()
    cache.fill(shards, shards.people("train"), CPU)
    assert _files(folder) == files


def test_the_cache_holds_what_the_encoders_say(folder: Path) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    target, reference, view = shards.people("train")["anna"][:3]
    batch = make_batch(cache, [BatchItem(target, reference, [view, reference], seed=5)])
    pipe = cache.base.pipeline(CPU)
    photos = [shards.photo(sample) for sample in (view, reference)]

    def encoded(feature: type[Feature], *samples: Sample) -> list[dict[str, torch.Tensor]]:
        given = [Photo(shards.photo(sample), sample.keypoints, sample.caption) for sample in samples]
        with torch.inference_mode():
            return feature(cache.settings).encoder(pipe)(given)

    for name, feature in (("view_embeds", ViewEmbedding), ("view_latents", ViewLatents)):
        expected = torch.stack([one[name] for one in encoded(feature, view, reference)])
        torch.testing.assert_close(batch.features[name][0].float(), expected, **CLOSE)
    (width, height), places = photos[1].size, fractions(reference.keypoints, photos[1].size)
    places[:, 0] = (places[:, 0] * width + (height - width) / 2) / height  # padded on both sides
    torch.testing.assert_close(batch.views.keypoints[0, 1], places)
    torch.testing.assert_close(batch.views.confidence, torch.full((1, 2), 0.9))
    [given] = encoded(ReferenceEmbedding, reference)
    torch.testing.assert_close(batch.features["image_embeds"][0].float(), given["image_embeds"], **CLOSE)
    [prompt] = encoded(Prompt, target)
    torch.testing.assert_close(batch.prompt_embeds[0].float(), prompt["prompt_embeds"], **CLOSE)
    square, keypoints, time_ids = crop(shards.photo(target), target.keypoints, (64, 64))
    torch.testing.assert_close(batch.latents.float(), torch.stack(encode_images(pipe, [square])).detach(), **CLOSE)
    assert torch.equal(batch.keypoints[0], keypoints) and torch.equal(batch.time_ids[0], time_ids)
    assert torch.equal(batch.reference_keypoints[0], crop(photos[1], reference.keypoints, (64, 64))[1])
    assert (set(batch.features), batch.random.seeds) == ({"image_embeds", "view_embeds", "view_latents"}, [5])


def test_short_rows_are_padded_with_what_has_no_confidence(folder: Path) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    anna, boris = (shards.people("train")[name] for name in ("anna", "boris"))
    items = [BatchItem(anna[0], anna[1], anna[1:]), BatchItem(boris[0], boris[1], boris[1:2])]
    batch = make_batch(cache, items)
    assert batch.features["view_latents"].shape == (2, 3, 4, 16, 16)
    assert (batch.views.confidence > 0).tolist() == [[True] * 3, [True, False, False]]
    assert batch.views.keypoints[0, 0, :, :2].max() <= 1 and batch.views.sizes[0, 0].tolist() == [320, 320]


def test_settings_that_change_features_make_another_cache(folder: Path) -> None:
    changes = [{}, {"weighting": False}, {"reference": "face"}, {"view_resolution": 32}, {"buckets": True}]
    objectives = [{"clip_text": 1.0}, {"clip_style": 1.0}, {"clip_text": 1.0, "clip": "clip-1"}]
    digests = [make_cache(folder, **change).digest for change in changes]
    settings = make_cache(folder).settings
    for objective in objectives:
        other = settings.model_copy(update={"objective": settings.objective.model_copy(update=objective)})
        features = training_features(other, folder)
        digests.append(FeatureCache(folder, Base.resolve(other, folder), other, features).digest)
    assert len(set(digests)) == len(changes) + len(objectives)
    assert make_cache(folder, learning_rate=0.1).digest == digests[0]


def test_unweighted_views_are_the_photos_themselves(folder: Path) -> None:
    shards = ShardDataset(folder / "shards")
    sample = shards.people("train")["anna"][0]
    pipe = make_cache(folder).base.pipeline(CPU)
    photo = Photo(shards.photo(sample), sample.keypoints)

    def latents(**settings: object) -> torch.Tensor:
        encode = ViewLatents(write_manifest(folder, **settings).train).encoder(pipe)
        with torch.inference_mode():
            return encode([photo])[0]["view_latents"]

    torch.testing.assert_close(latents(weighting=False), latents(alpha=1.0))
    assert (latents(weighting=False) - latents()).abs().max() > 0.01


def test_clip_embeddings_are_there_when_the_objective_asks_for_them(folder: Path) -> None:
    settings = make_cache(folder).settings
    objective = settings.objective.model_copy(update={"clip_text": 0.5, "clip_style": 0.5})
    settings = settings.model_copy(update={"objective": objective})
    cache, shards = (
        FeatureCache(
            folder / "features", Base.resolve(settings, folder), settings, training_features(settings, folder)
        ),
        ShardDataset(folder / "shards"),
    )
    people = {"boris": shards.people("train")["boris"]}
    cache.fill(shards, people, CPU)
    target, reference, _ = people["boris"]
    batch = make_batch(cache, [BatchItem(target, reference, [reference])])
    clip = load_clip("clip-0")
    torch.testing.assert_close(batch.features["clip_texts"], clip.embed_texts([target.caption]), **CLOSE)
    square = crop(shards.photo(reference), reference.keypoints, (64, 64))[0]
    pixels = cache.base.pipeline(CPU).image_processor.preprocess(square)
    torch.testing.assert_close(batch.features["clip_references"], clip.embed_images(pixels), **CLOSE)


def test_another_caption_makes_other_features_and_a_person_gone_leaves_none(folder: Path) -> None:
    before = make_cache(folder)
    shards = ShardDataset(folder / "shards")
    sha256 = hashlib.sha256(draw_person(0)[0]).hexdigest()
    [photo] = [photo for photo in shards.people("train")["anna"] if photo.sha256 == sha256]
    old = [before.path(feature, photo) for feature in before.features.values()]
    people = drawn_people({"anna": 2})
    people["anna"][0] = ("train", *draw_person(0), "another caption")
    shutil.rmtree(folder / "shards")
    write_shards(folder / "shards", people)
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    cache.fill(shards, shards.people("train"), CPU)
    assert {path.name for path in folder.glob("features/*/*/")} == {"anna"}
    assert len(list(folder.glob("features/*/anna/*"))) == 5 * 2
    new = {
        cache.path(feature, photo) for photo in shards.people("train")["anna"] for feature in cache.features.values()
    }
    assert [path in new for path in old] == [True, False, True, True, True], "of the prompt alone there is another"


def test_features_of_people_who_are_not_trained_on_now_stay(folder: Path) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    files = _files(folder)
    cache.fill(shards, {"anna": shards.people("train")["anna"]}, CPU)
    assert _files(folder) == files


def test_another_feature_is_added_to_those_there_are(folder: Path) -> None:
    shards, files = ShardDataset(folder / "shards"), _files(folder)
    cache = make_cache(folder, method="ip-adapter", reference="face")
    cache.fill(shards, shards.people("train"), CPU)
    after = _files(folder)
    assert files.items() <= after.items()
    assert {path.parents[1].name.split("-")[0] for path in after.keys() - files.keys()} == {"reference"}


def test_what_reads_no_photo_decodes_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder)
    files = _files(folder)
    for path in folder.glob("features/prompt-*/*/*"):
        path.unlink()
    monkeypatch.setattr(ShardDataset, "photo", lambda *_: pytest.fail("a photo was read"))
    monkeypatch.setattr(ShardDataset, "decode", lambda *_: pytest.fail("a photo was read"))
    cache.fill(shards, shards.people("train"), CPU)
    assert _files(folder) == files


def _many(folder: Path, photos: int, broken: int) -> tuple[ShardDataset, People, list[Sample]]:
    """Someone with that many photos, of which some are overwritten in the shard."""
    write_shards(folder / "shards", drawn_people({"anna": photos}))
    shards = ShardDataset(folder / "shards")
    people = shards.people("train")
    with (folder / "shards" / "train-000000.tar").open("r+b") as tar:
        for sample in people["anna"][:broken]:
            tar.seek(sample.offset + 512)
            tar.write(b"\0" * 2000)
    return shards, people, people["anna"][:broken]


def test_a_broken_photo_is_left_out_and_not_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, people, broken = _many(tmp_path, 20, 1)
    cache = make_cache(tmp_path)
    assert cache.fill(shards, people, CPU) == {"anna": people["anna"][1:]}
    assert "1 of 20 photos cannot be read and are left out" in capsys.readouterr().err
    monkeypatch.setattr(Base, "pipeline", lambda *_, **__: pytest.fail("an encoder was loaded"))
    monkeypatch.setattr(ShardDataset, "photo", lambda *_: pytest.fail("a photo was read"))
    assert cache.fill(shards, people, CPU) == {"anna": people["anna"][1:]}
    mended = dataclasses.replace(broken[0], sha256="0" * 64)  # another photo in its place is another sample
    with pytest.raises(pytest.fail.Exception):
        cache.fill(shards, {"anna": [mended, *people["anna"][1:]]}, CPU)


def test_many_broken_photos_are_refused_until_they_are_mended(tmp_path: Path) -> None:
    shards, people, _ = _many(tmp_path, 4, 1)
    cache = make_cache(tmp_path)
    with pytest.raises(BolidError, match=r"1 of 4 photos cannot be read, more than 5%.*bolid verify"):
        cache.fill(shards, people, CPU)
    shutil.rmtree(tmp_path / "shards")
    write_shards(tmp_path / "shards", drawn_people({"anna": 4}))
    assert cache.fill(ShardDataset(tmp_path / "shards"), people, CPU) == people


def test_a_damaged_file_of_features_says_what_to_do(folder: Path) -> None:
    cache = make_cache(folder)
    sample = ShardDataset(folder / "shards").people("train")["anna"][0]
    cache.path(cache.features["target"], sample).write_bytes(b"no")
    with pytest.raises(BolidError, match="delete it and run"):
        cache.read(sample, "latents")


def test_of_several_captions_each_is_encoded_and_one_is_drawn_for_a_row(folder: Path) -> None:
    with duckdb.connect(folder / "shards" / "index.duckdb") as index:
        index.execute("alter table samples add column captions map(varchar, varchar)")
        index.execute("update samples set captions = map {'short': 'a person', 'same': caption, 'none': ''}")
    shards, cache = ShardDataset(folder / "shards"), make_cache(folder, captions="all")
    chosen = make_cache(folder)
    people = usable_people(shards, cache.settings)
    assert all(photo.captions == ("a person",) for photos in people.values() for photo in photos)
    assert not any(photo.captions for photos in usable_people(shards, chosen.settings).values() for photo in photos)
    before = _files(folder)
    assert cache.fill(shards, people, CPU) == people
    new = _files(folder).keys() - before.keys()
    assert {path.parents[1].name.split("-")[0] for path in new} == {"prompt"} and len(new) == 3, "one for each person"
    items = [item for step in range(40) for item in PersonSampler(people, 2, 3, seed=0).items(step)]
    drawn = Counter(item.target.caption == "a person" for item in items)
    assert 20 < drawn[True] < 60
    batch = make_batch(cache, items[:8])
    short = [item.target.caption == "a person" for item in items[:8]]
    assert any(short) and not all(short)
    embeds = [tuple(row.flatten().tolist()) for row in batch.prompt_embeds]
    of_short = {embed for embed, is_short in zip(embeds, short, strict=True) if is_short}
    assert len(of_short) == 1 and len(set(embeds)) > 1
    cache.fill(shards, people, CPU)
    assert _files(folder).keys() - before.keys() == new
    chosen.fill(shards, usable_people(shards, chosen.settings), CPU)
    assert _files(folder) == before, "the others are deleted when they are not trained on any more"

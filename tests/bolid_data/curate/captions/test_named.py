"""`[caption.also]`: further captions, each of a name, by instruction to a chat model."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from bolid_data import manifest as manifests
from bolid_data.caption_instructions import INSTRUCTIONS
from bolid_data.curate.captions import by_hand
from bolid_data.curate.captions.registry import load_captioner
from bolid_data.curate.captions.run import caption_photos
from bolid_data.curate.captions.vision_language import INSTRUCTION
from bolid_data.curate.judge import judge
from bolid_data.curate.judge.explain import explain
from bolid_data.errors import ManifestError, UsageError
from bolid_data.manifest import Filter, Manifest
from bolid_data.shards import forget as forgetting
from bolid_data.shards.write import shard
from bolid_train.data.shard_dataset import ShardDataset
from tests.support.measured_dataset import MODELS, World, jpeg
from tests.support.tiny_captioners import save_blip2, save_qwen

TOLERANT = Filter(min_width=1, min_height=1, min_photos_per_person=1)
PHOTOS = 6
NEUTRAL = INSTRUCTIONS["build", "neutral"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models `blip2` and `qwen`, and a dataset of six kept photos of two people in `data`."""
    folder = tmp_path_factory.mktemp("kept")
    save_blip2(folder / "blip2")
    save_qwen(folder / "qwen")
    world = World(folder / "data")
    for i in range(PHOTOS):
        world.photo(f"p{i % 2}", width=60, height=70, data=jpeg(i, 60, 70))
    judge(world.dataset.catalog, TOLERANT, MODELS)
    return folder


@pytest.fixture
def world(kept: Path, tmp_path: Path) -> World:
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    return World(tmp_path / "data")


def manifest(world: World, also: str = 'build = "neutral"', captioner: str = "qwen") -> Manifest:
    path = world.dataset.root.parent / "m.toml"
    path.write_text(
        f'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n[models]\ncaption = "{captioner}"\n'
        f"[caption]\nbatch_size = 2\nmax_new_tokens = 6\n[caption.also]\n{also}\n"
        "[shards]\nsplits = { train = 1.0 }\n"
    )
    return manifests.load(path)


def prompts(world: World) -> dict[str, int]:
    """How many captions there are by prompt or name."""
    with world.dataset.catalog.open(read_only=True) as con:
        return dict(con.execute("SELECT prompt, count(*) FROM captioned GROUP BY ALL").fetchall())


def test_they_stand_beside_the_others_and_reach_the_training(world: World) -> None:
    settings = manifest(world)
    result = caption_photos(settings, world.dataset)
    assert (result["captioned"], result["also"]["build"]["captioned"]) == (PHOTOS, PHOTOS)
    assert prompts(world) == {INSTRUCTION: PHOTOS, "build": PHOTOS}
    shard(settings, world.dataset)
    name = f"{result['also']['build']['model']}: build"
    with duckdb.connect(world.dataset.index, read_only=True) as con:
        samples = con.execute("SELECT caption, captions FROM samples").fetchall()
    assert len(samples) == PHOTOS and all(list(others) == [name] for _, others in samples)
    people = ShardDataset(world.dataset.shards).people("train", all_captions=True)
    trained_with = {one.caption for photos in people.values() for photo in photos for one in photo.with_each_caption()}
    assert trained_with == {text for caption, others in samples for text in (caption, others[name])}


def test_the_instruction_is_the_manifests_or_the_neutral_one(world: World) -> None:
    for text, instruction in ((NEUTRAL, "neutral"), ("Describe the frame.", "Describe the frame.")):
        settings = manifest(world, f'build = "{instruction}"')
        captioner = load_captioner(settings).instructed("build", settings.caption.instruction("build"))
        assert (captioner.prompt, text in captioner.model.config) == ("build", True)
    told = [word for word in ("clothes", "judge", "ethnicity", "health", "weight in numbers", "age") if word in NEUTRAL]
    assert len(told) == 6


def test_another_instruction_captions_anew_and_the_same_does_not(world: World) -> None:
    caption_photos(manifest(world), world.dataset)
    again = caption_photos(manifest(world), world.dataset)
    assert (again["captioned"], again["also"]["build"]["captioned"]) == (0, 0)
    other = caption_photos(manifest(world, 'build = "Describe the frame."'), world.dataset)
    assert (other["captioned"], other["also"]["build"]["captioned"]) == (0, PHOTOS)
    assert prompts(world) == {INSTRUCTION: PHOTOS, "build": 2 * PHOTOS}


def test_a_killed_run_resumes_photo_by_photo(world: World) -> None:
    settings = manifest(world)
    slow = f"""
import time
from pathlib import Path
from bolid_data import manifest
from bolid_data.curate.captions import run, vision_language
from bolid_data.dataset import Dataset
fast = vision_language.VisionLanguageCaptioner.caption
def slowly(self, photos, keypoints):
    time.sleep(1.0 if self.prompt == "build" else 0.0)
    return fast(self, photos, keypoints)
vision_language.VisionLanguageCaptioner.caption = slowly
run.caption_photos(manifest.load(Path({str(settings.path)!r})), Dataset(Path({str(world.dataset.root)!r})))
"""
    with subprocess.Popen([sys.executable, "-c", slow], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while prompts(world).get("build", 0) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    done = prompts(world)["build"]
    assert done in (2, 4)
    result = caption_photos(settings, world.dataset)
    assert (result["captioned"], result["also"]["build"]["captioned"]) == (0, PHOTOS - done)
    assert prompts(world) == {INSTRUCTION: PHOTOS, "build": PHOTOS}


def test_a_photo_that_a_person_captioned_so_is_not_left_to_the_model(world: World) -> None:
    settings = manifest(world)
    photo = next(world.dataset.store.files()).stem
    by_hand.set_caption(settings, world.dataset, photo, "a tall person", "build")
    assert caption_photos(settings, world.dataset)["also"]["build"]["captioned"] == PHOTOS - 1
    folder = world.dataset.root.parent / "texts"
    by_hand.export_captions(settings, world.dataset, folder, "build")
    texts = {file.stem.rpartition("-")[2]: file.read_text().strip() for file in folder.rglob("*.txt")}
    assert len(texts) == PHOTOS and texts[photo[:16]] == "a tall person"
    imported = by_hand.import_captions(settings, world.dataset, folder, "build")
    assert imported == {"imported": 0, "unchanged": PHOTOS, "unmatched": 0}


def test_explain_shows_them_and_forget_deletes_them(world: World) -> None:
    settings = manifest(world)
    caption_photos(settings, world.dataset)
    photo = next(world.dataset.store.files()).stem
    shown = {row["prompt"]: row["used"] for row in explain(world.dataset.catalog, photo)["captions"]}
    assert shown == {INSTRUCTION: True, "build": False}
    shard(settings, world.dataset)
    trace = forgetting.find(world.dataset, "p0")
    assert trace
    forgetting.forget(world.dataset, trace)
    assert prompts(world) == {INSTRUCTION: PHOTOS // 2, "build": PHOTOS // 2}


@pytest.mark.parametrize("captioner", ["describe", "blip2"])
def test_a_model_that_follows_no_instructions_is_refused_before_it_captions(world: World, captioner: str) -> None:
    with pytest.raises(UsageError, match=rf"caption\.also\.build: {captioner} follows no instructions; name a chat"):
        caption_photos(manifest(world, captioner=captioner), world.dataset)
    assert prompts(world) == {}


@pytest.mark.parametrize(
    ("also", "message"),
    [
        (
            'build = "netral"',
            r"m\.toml:\d+: caption\.also: build: 'netral' is no instruction; write a sentence, or build",
        ),
        ('clothes = "neutral"', r"clothes: 'neutral' is no instruction"),
        ('Build = "Describe the build."', r"caption\.also: 'Build' is no name of captions"),
        ('"" = "Describe the photo."', r"caption\.also: '' is no name of captions"),
        ('build = ""', r"caption\.also\.build"),
    ],
)
def test_a_mistake_in_the_manifest_is_named(world: World, also: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        manifest(world, also)

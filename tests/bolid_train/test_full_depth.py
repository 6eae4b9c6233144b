"""A run on a base as deep as SDXL, with all its 70 transformer blocks: from photos to stock diffusers, by the command
line; and what a step on it costs, in counts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from bolid_data.manifest import Filter, Manifest
from bolid_train.data.features.cache import FeatureCache
from bolid_train.data.preflight import usable_people
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base, pick_device
from bolid_train.inference.pipeline import InferencePipeline, Person
from bolid_train.inference.reference_photos import detect_people
from bolid_train.methods import adapter
from bolid_train.settings import load
from bolid_train.training.step import Training, make_accelerator, training_features
from tests.support.commands import bolid
from tests.support.drawn_shards import write_manifest
from tests.support.gallery_people import draw_photos
from tests.support.measured_dataset import CAPTIONER, World
from tests.support.operators import count_operators, saved_bytes
from tests.support.paths import ROOT
from tests.support.random_sdxl import NARROW, write_ip_adapter, write_sdxl

LAYERS = 70
STEPS, PROMPT, SEED = 4, "a photo of a person in a red top", 3

MANIFEST = """
name = "deep"
[source]
kind = "folder"
path = "photos"
[filter]
min_width = 200
min_height = 200
min_photos_per_person = 1
[shards]
splits = {{ train = 1.0 }}
[train]
base = "{base}"
resolution = 64
view_resolution = 64
batch_size = 2
views = 2
ema = 0.9
[train.bolid]
ref_from = "published.safetensors"
body_dim = 32
encoder_steps = 1
prior_steps = 1
[train.objective]
identity = 1.0
detector = "tiny-keypoints"
"""

STOCK = """
import sys
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file

base, run, embeds, out, prompt, steps, seed = sys.argv[1:]
torch.set_num_threads(1)
pipe = StableDiffusionXLPipeline.from_pretrained(base)
pipe.load_ip_adapter(
    [run, run], subfolder=["", ""], weight_name=["ref.safetensors", "body.safetensors"], image_encoder_folder=None
)
pipe.set_ip_adapter_scale([1.0, 1.0])
given = load_file(embeds)
generator = torch.Generator().manual_seed(int(seed))
pipe(
    prompt, ip_adapter_image_embeds=[given["ref"], given["body"]], num_inference_steps=int(steps), guidance_scale=5.0,
    generator=generator, height=64, width=64,
).images[0].save(out)
assert not any(name.startswith("bolid") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pipeline; do not change it."""
    folder = tmp_path_factory.mktemp("full-depth") / "sdxl"
    write_sdxl(folder, NARROW)
    return folder


@pytest.fixture(scope="module")
def home(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the manifest, a dataset of judged and captioned photos in `data/deep`, and a photo of one of its
    people."""
    home = tmp_path_factory.mktemp("home")
    (home / "deep.toml").write_text(MANIFEST.format(base=base))
    world = World(home / "data" / "deep")
    photos = draw_photos(2, 3, (240, 320))
    for photo in photos:
        sha256 = world.photo(photo.person, photo.width, photo.height, data=photo.jpeg, keypoints=photo.keypoints)
        world.dataset.catalog.captions.record_captions(CAPTIONER.id, "", {sha256: photo.caption})
    world.dataset.catalog.captions.choose_captioner(CAPTIONER, "")
    world.judge(Filter(min_width=200, min_height=200, min_photos_per_person=1))
    (home / "photo.jpg").write_bytes(photos[0].jpeg)
    return home


@pytest.mark.slow
def test_from_shards_to_stock_diffusers_by_the_command_line(home: Path, base: Path) -> None:
    published = write_ip_adapter(home / "published.safetensors", NARROW)
    run, steps = home / "data" / "deep" / "runs" / "bolid", ("--steps", str(STEPS), "--checkpoint-every", "1")
    _succeed(home, "shard", "deep.toml")
    _interrupt_training(home, run, steps)
    assert list((run / "checkpoints").glob("step-*")) and not (run / "adapter.json").exists()
    _succeed(home, "train", "deep.toml", *steps, "--resume")
    _succeed(home, "train", "deep.toml", *steps, "--run", "uninterrupted")
    assert _losses(run) == _losses(run.with_name("uninterrupted")) and len(_losses(run)) == STEPS

    (home / "published.safetensors").unlink()  # the run needs it no more
    assert _shapes(run / "ref.safetensors") == published
    assert sum(name.endswith("to_k_ip.weight") for name in published) == LAYERS
    made = json.loads((run / "adapter.json").read_text())
    assert (made["base"], made["steps"], len(made["trained_on"]["people"])) == (str(base), STEPS, 2)

    generate = ("generate", "deep.toml", "--prompt", PROMPT, "--photo", "photo.jpg", "--seed", str(SEED))
    _succeed(home, *generate, "--steps", "2", "--out", "ours.png")
    _generate_by_stock_diffusers(home, base, run)
    ours, stock = (Image.open(home / f"{name}.png").convert("RGB").tobytes() for name in ("ours", "stock"))
    assert ours == stock
    _succeed(home, *generate, "--steps", "2", "--out", "base.png", "--scale-ref", "0", "--scale-body", "0")
    assert Image.open(home / "base.png").convert("RGB").tobytes() != ours

    _succeed(home, "export", "deep.toml", "for-kohya", "--to", "kohya")
    assert len(list((home / "for-kohya").rglob("*.txt"))) == 6


def _succeed(home: Path, command: str, *arguments: str) -> None:
    done = bolid(command, *arguments, cwd=home)
    assert done.returncode == 0, done.stderr


def _interrupt_training(home: Path, run: Path, steps: tuple[str, ...]) -> None:
    """Trains in a process of its own, and presses Ctrl-C after the first step."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bolid", "train", "deep.toml", *steps]
    with subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        losses = run / "losses.jsonl"
        while not (losses.is_file() and losses.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "with a checkpoint; --resume continues from it" in stderr


def _losses(run: Path) -> list[str]:
    return (run / "losses.jsonl").read_text().splitlines()


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def _generate_by_stock_diffusers(home: Path, base: Path, run: Path) -> None:
    """The image of the same embeddings, in a process that imports nothing of ours."""
    manifest = load(home / "deep.toml")
    pipeline = InferencePipeline.from_run(run, adapter.read(run), home)
    person = Person(detect_people([home / "photo.jpg"], pipeline.settings, pick_device()))
    given, _ = pipeline.conditions(pipeline.batch(PROMPT, [person]), SEED)
    ref, body = given.added_cond_kwargs["image_embeds"]
    embeds = {name: torch.cat([0 * rows, rows]).float() for name, rows in (("ref", ref), ("body", body))}
    save_file(embeds, home / "embeds.safetensors")
    assert manifest.train.base == str(base)
    arguments = [base, run, home / "embeds.safetensors", home / "stock.png", PROMPT, 2, SEED]
    subprocess.run([sys.executable, "-c", STOCK, *map(str, arguments)], check=True, cwd=home)


@pytest.fixture
def trainings(base: Path, dataset: Path, tmp_path: Path) -> Iterator["Trainings"]:
    yield Trainings(base, dataset, tmp_path)


class Trainings:
    """Trainings on the drawn people, by settings."""

    def __init__(self, base: Path, dataset: Path, folder: Path) -> None:
        self._base, self._dataset, self._folder = base, dataset, folder

    def __call__(self, **settings: object) -> Training:
        narrow = {"base": str(self._base), "resolution": 64, "view_resolution": 64}
        manifest: Manifest = write_manifest(self._folder, **narrow, **settings)
        shards = ShardDataset(self._dataset / "shards")
        found = Base.resolve(manifest.train, manifest.folder)
        features = training_features(manifest.train, manifest.folder)
        cache = FeatureCache(self._folder / "features", found, manifest.train, features)
        people = cache.fill(shards, usable_people(shards, manifest.train), pick_device())
        return Training(manifest, cache, people, 10, make_accelerator(manifest.train))


def test_a_step_in_bfloat16_converts_nothing_layer_by_layer(trainings: Trainings) -> None:
    training = trainings(mixed_precision="bf16", ema=0.9)
    batches = training.load(1)
    assert training.step(batches)["loss"] > 0  # the first step also creates the optimizer's state
    counts = count_operators(lambda: training.step(batches))
    assert counts["_to_copy"] < LAYERS, counts.most_common(10)


def test_a_steps_operators_grow_with_the_layers_and_not_with_the_trained_weights(
    trainings: Trainings, base: Path
) -> None:
    training = trainings(ema=0.9)
    batches = training.load(1)
    training.step(batches)
    step = count_operators(lambda: training.step(batches)).total()
    [batch] = batches
    with torch.no_grad():
        inputs, _ = training.method.condition(batch)
    timesteps = torch.full((len(batch),), 500)
    passes = count_operators(
        lambda: training.denoiser(batch.latents, timesteps, inputs).square().mean().backward()
    ).total()
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    assert sum(name.endswith("attn2.processor") for name in unet.attn_processors) == LAYERS
    assert step < 1.15 * passes, "encoder, losses, clipping, AdamW and EMA add little"


def test_checkpointing_keeps_a_fraction_of_the_activations(trainings: Trainings) -> None:
    kept = {}
    for checkpointing in (False, True):
        training = trainings(gradient_checkpointing=checkpointing)
        batches = training.load(1)
        frozen = [*training.unet.parameters(), *training.method.parameters()]
        kept[checkpointing] = saved_bytes(lambda batches=batches, step=training.step: step(batches), frozen)
    assert kept[True] < kept[False] / 3

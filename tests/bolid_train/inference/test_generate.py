"""Pictures from the command: stock diffusers gives ours bit for bit, zero scale gives the base's, photos and the prior
give the body, and what is wrong is named."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest, ObjectiveSettings, Train
from bolid_train.diffusion import lightning
from bolid_train.diffusion.base import Base
from bolid_train.inference.generate import Request, generate
from bolid_train.inference.pipeline import InferencePipeline, Person
from bolid_train.inference.reference_photos import detect_people
from bolid_train.methods import adapter, registry
from small_world.world.photos import draw_split
from small_world.world.splits import HELD_OUT
from tests.support.drawn_shards import write_manifest
from tests.support.paths import REAL_PHOTOS
from tests.support.small_base import small_base

PROMPT = "a photo of a person in red"
CPU = torch.device("cpu")

STOCK = """
import json, sys
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file

run, embeds, out = sys.argv[1:]
torch.set_num_threads(1)
adapter = json.load(open(f"{run}/adapter.json"))
pipe = StableDiffusionXLPipeline.from_pretrained(adapter["base"])
pipe.load_ip_adapter(
    [run, run], subfolder=["", ""], weight_name=["ref.safetensors", "body.safetensors"], image_encoder_folder=None
)
given = load_file(embeds)
for scale in (0.0, 0.8):
    pipe.set_ip_adapter_scale([scale, scale])
    image = pipe(
        "a photo of a person in red",
        ip_adapter_image_embeds=[given["ref"], given["body"]],
        num_inference_steps=4,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    image.save(f"{out}/stock-{scale}.png")
pipe.unload_ip_adapter()
base = pipe(
    "a photo of a person in red",
    num_inference_steps=4,
    guidance_scale=5.0,
    generator=torch.Generator().manual_seed(3),
)
base.images[0].save(f"{out}/base.png")
assert not any(name.startswith("bolid") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A dataset's folder with runs of random weights, and its manifest: `bolid`; `yolo`, the same for photos of real
    people; `strict`, which is sure of no keypoint; `ip-adapter`. Do not change it."""
    folder = tmp_path_factory.mktemp("runs")
    settings = write_manifest(folder)
    small_world = ObjectiveSettings(detector="tiny-keypoints")
    for name, changed in (
        ("bolid", {"objective": small_world}),
        ("yolo", {"objective": ObjectiveSettings()}),
        ("strict", {"objective": small_world, "min_keypoint_confidence": 1.0}),
        ("ip-adapter", {"objective": small_world, "method": "ip-adapter"}),
    ):
        _publish(folder, name, settings.train.model_copy(update=changed))
    return folder, settings


def _publish(data: Path, name: str, settings: Train) -> None:
    torch.manual_seed(0)
    base = Base.resolve(settings, data)
    method = registry.resolve(settings.method).make(settings, base)
    method.install(base.unet(CPU), base)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    (data / "runs" / name).mkdir(parents=True)
    adapter.publish(data / "runs" / name, method, settings, base, 0, [], data)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Files of three photos of each of two people of the small world."""
    photos, folder = draw_split(replace(HELD_OUT, people=2)), tmp_path_factory.mktemp("people")
    files: list[list[Path]] = []
    for person in range(2):
        rows = np.flatnonzero(photos.people == person)[:3]
        files.append([folder / f"{person}-{row}.png" for row in rows])
        for row, file in zip(rows, files[-1], strict=True):
            Image.fromarray(photos.images[row]).save(file)
    return files


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=np.int16)


def _generate(runs: tuple[Path, Manifest], out: Path, **changed: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt": PROMPT, "seed": 3, "steps": 4}
    return generate(*runs, Request(out=out, **asked | changed))


def _paint(runs: tuple[Path, Manifest], out: Path, **changed: Any) -> np.ndarray:
    _generate(runs, out, **changed)
    return _pixels(out)


def _bare(pipe: StableDiffusionXLPipeline, guidance: float = 5.0) -> np.ndarray:
    """What the stock pipeline paints for the same prompt and seed."""
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    (image,) = pipe(PROMPT, num_inference_steps=4, guidance_scale=guidance, generator=generator).images
    return np.asarray(image, dtype=np.int16)


@pytest.fixture(scope="module")
def stock(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """Images by stock diffusers in a process that imports nothing of ours, and ours from the same photos."""
    out, run = tmp_path_factory.mktemp("stock"), runs[0] / "runs" / "bolid"
    pipeline = InferencePipeline.from_run(run, adapter.read(run), runs[0])
    for source in ("ref", "body"):
        pipeline.method.scale(source, 0.8)
    person = Person(detect_people(people[0], pipeline.settings, CPU))
    given, negative = pipeline.conditions(pipeline.batch(PROMPT, [person]), 3)
    pipeline.generate((given, negative), 4, 5.0, 3, (64, 64)).save(out / "ours.png")
    ref, body = given.added_cond_kwargs["image_embeds"]
    embeds = {"ref": torch.cat([0 * ref, ref]), "body": torch.cat([0 * body, body])}
    save_file(embeds, out / "embeds.safetensors")
    subprocess.run(
        [sys.executable, "-c", STOCK, str(run), str(out / "embeds.safetensors"), str(out)], check=True, cwd=out
    )
    return {path.stem: _pixels(path) for path in out.glob("*.png")}


def test_stock_diffusers_loads_the_adapter_and_gives_our_image(stock: dict[str, np.ndarray]) -> None:
    assert np.abs(stock["stock-0.8"] - stock["ours"]).max() == 0


def test_with_the_adapter_the_image_is_another(stock: dict[str, np.ndarray]) -> None:
    assert np.abs(stock["stock-0.8"] - stock["base"]).max() > 3


def test_zero_scale_is_the_base_bit_for_bit(
    runs: tuple[Path, Manifest], people: list[list[Path]], stock: dict[str, np.ndarray], tmp_path: Path
) -> None:
    zero = _paint(runs, tmp_path / "zero.png", photos=people[0], scale_ref=0.0, scale_body=0.0)
    assert np.array_equal(zero, stock["base"])
    assert np.array_equal(stock["stock-0.0"], stock["base"])


def test_text_alone_draws_a_body_by_the_seed(
    runs: tuple[Path, Manifest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [_generate(runs, tmp_path / f"{number}.png", seed=seed) for number, seed in enumerate((3, 3, 4))]
    assert "the body is sampled from the prior given the prompt" in capsys.readouterr().err
    assert [(facts["body"], facts["scale_ref"]) for facts in made] == [("drawn", 0)] * 3
    images = [_pixels(tmp_path / f"{number}.png") for number in range(3)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_several_pictures_are_those_of_their_seeds(runs: tuple[Path, Manifest], tmp_path: Path) -> None:
    facts = _generate(runs, tmp_path / "many.png", count=2)
    assert facts["pictures"] == [str(tmp_path / "many-0.png"), str(tmp_path / "many-1.png")]
    assert [Image.open(file).text["seed"] for file in facts["pictures"]] == ["3", "4"]
    assert np.array_equal(_pixels(tmp_path / "many-1.png"), _paint(runs, tmp_path / "one.png", seed=4))


def test_more_photos_change_the_picture_and_their_order_does_not(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path
) -> None:
    one, several, turned = (
        _paint(runs, tmp_path / "x.png", photos=photos) for photos in (people[0][:1], people[0], people[0][::-1])
    )
    assert np.abs(several - one).max() > 3
    assert np.abs(several - turned).max() <= 1


def test_the_image_says_how_it_was_made(runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path) -> None:
    facts = _generate(
        runs, tmp_path / "x.png", prompt="человек в красном", photos=people[0], scale_body=0.5, steps=None
    )
    assert (facts["photos"], facts["width"], facts["height"]) == (3, 64, 64)
    assert Image.open(tmp_path / "x.png").text == {
        "prompt": "человек в красном",
        "run": "bolid",
        "base": str(small_base()),
        "seed": "3",
        "steps": "30",
        "guidance": "5.0",
        "scale_ref": "1.0",
        "scale_body": "0.5",
        "body": "photos",
    }


def test_an_image_prompt_takes_the_references_place_and_not_the_bodys(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path
) -> None:
    Image.new("RGB", (80, 80), "red").save(tmp_path / "style.jpg")
    alone = _generate(runs, tmp_path / "alone.png", image_prompt=tmp_path / "style.jpg")
    assert (alone["body"], alone["scale_ref"]) == ("drawn", 1.0)
    both = _generate(runs, tmp_path / "both.png", photos=people[0], image_prompt=tmp_path / "style.jpg")
    assert (both["body"], both["scale_ref"]) == ("photos", 1.0)
    images = [_pixels(tmp_path / name) for name in ("alone.png", "both.png")]
    images.append(_paint(runs, tmp_path / "x.png", photos=people[0]))
    assert min(np.abs(images[a] - images[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 3


def test_a_blend_goes_from_one_body_to_the_other(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path
) -> None:
    def picture(weight: float) -> np.ndarray:
        return _paint(runs, tmp_path / "x.png", photos=people[0], blend=people[1], blend_weight=weight, scale_ref=0)

    first, second = (_paint(runs, tmp_path / "x.png", photos=photos, scale_ref=0) for photos in people)
    assert np.array_equal(picture(0), first)
    assert np.array_equal(picture(1), second)
    half = picture(0.5)
    assert Image.open(tmp_path / "x.png").text["blend_weight"] == "0.5"
    assert 0 < np.abs(half - first).mean() < np.abs(second - first).mean()


def test_a_blend_needs_two_bodies(runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --photo too"):
        _generate(runs, tmp_path / "x.png", blend=people[1])
    with pytest.raises(UsageError, match="method 'ip-adapter' has no body to blend"):
        _generate(runs, tmp_path / "x.png", run="ip-adapter", photos=people[0], blend=people[1])


def test_one_box_of_the_whole_image_is_no_box(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path
) -> None:
    alone = _paint(runs, tmp_path / "alone.png", photos=people[0][:1])
    boxed = _paint(runs, tmp_path / "boxed.png", people=people[0][:1], boxes=["0,0,64,64"])
    assert np.abs(boxed - alone).max() <= 1


def test_two_people_are_each_in_their_box(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder, files in zip(folders, people, strict=True):
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
    left, right = "0,0,32,64", "32,0,64,64"
    facts = _generate(runs, tmp_path / "both.png", people=folders, boxes=[left, right])
    assert (facts["photos"], facts["body"], facts["scale_ref"]) == (6, "photos", 1.0)
    assert Image.open(tmp_path / "both.png").text["boxes"] == f"{left} {right}"
    both = _pixels(tmp_path / "both.png")
    turned = _paint(runs, tmp_path / "x.png", people=folders[::-1], boxes=[right, left])
    assert np.abs(both - turned).max() <= 1, "the order in which they are given does not matter"
    swapped = _paint(runs, tmp_path / "x.png", people=folders[::-1], boxes=[left, right])
    assert np.abs(both - swapped).max() > 3
    nobody = _paint(runs, tmp_path / "x.png", people=folders, boxes=[left, right], scale_ref=0.0, scale_body=0.0)
    first, second = (
        _paint(runs, tmp_path / "x.png", people=[folder], boxes=[box])
        for folder, box in zip(folders, (left, right), strict=True)
    )
    change = np.abs(first - nobody).mean(axis=(0, 2)), np.abs(second - nobody).mean(axis=(0, 2))
    assert change[0][:32].mean() > change[0][32:].mean() and change[1][:32].mean() < change[1][32:].mean()


def test_boxes_that_make_no_sense_are_named(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path
) -> None:
    for changed, message in (
        ({"people": people[0][:2], "boxes": ["0,0,9,9"]}, "2 --person and 1 --box; give a --box for each --person"),
        ({"boxes": ["0,0,9,9"]}, "0 --person and 1 --box"),
        ({"people": people[0][:1], "boxes": ["0,0,9"]}, "give left,top,right,bottom in pixels"),
        ({"people": people[0][:1], "boxes": ["0,0,99,64"]}, "not a box inside the image of 64×64 pixels"),
        ({"people": people[0][:1], "boxes": ["9,9,9,64"]}, "not a box inside the image"),
        ({"people": people[0][:1], "boxes": ["0,0,9,9"], "photos": people[1]}, "give either"),
        ({"people": [tmp_path], "boxes": ["0,0,9,9"]}, "no photo in this folder"),
        ({"pose": people[0][0]}, "method 'bolid' of run 'bolid' is not conditioned on a pose"),
        ({"scales": {"pose": 1.0}}, "has no such scale; it has: ref, body"),
        ({"width": 60}, "--width 60: give a multiple of 8"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            _generate(runs, tmp_path / "x.png", **changed)


def test_size_and_negative_prompt_are_the_stock_pipelines(runs: tuple[Path, Manifest], tmp_path: Path) -> None:
    bare = {"scale_ref": 0.0, "scale_body": 0.0}
    ours = _paint(runs, tmp_path / "x.png", width=80, height=48, negative_prompt="red", **bare)
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base())
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    [image] = pipe(
        PROMPT, negative_prompt="red", width=80, height=48, num_inference_steps=4, guidance_scale=5.0,
        generator=generator,
    ).images  # fmt: skip
    assert np.array_equal(ours, np.asarray(image, dtype=np.int16))
    assert Image.open(tmp_path / "x.png").text["negative_prompt"] == "red"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lightning weights for the base of random weights: LoRA layers as random."""
    torch.manual_seed(1)
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base())
    pipe.unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_out.0", "conv1"], init_lora_weights=False))
    layers = get_peft_model_state_dict(pipe.unet)
    file = tmp_path_factory.mktemp("fast") / "lightning.safetensors"
    save_file({f"unet.{name}": layer for name, layer in layers.items()}, file)
    return file


def test_lightning_takes_four_steps_without_guidance_and_zero_scale_is_the_bare_lightning_pipeline(
    runs: tuple[Path, Manifest], stock: dict[str, np.ndarray], fast: Path, tmp_path: Path
) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base())
    lightning.load(pipe, fast)
    bare = _bare(pipe, guidance=0.0)
    asked = {"lightning": str(fast), "steps": None}
    zero = _paint(runs, tmp_path / "zero.png", scale_ref=0.0, scale_body=0.0, **asked)
    assert np.array_equal(zero, bare)
    assert np.abs(bare - stock["base"]).max() > 3
    text = Image.open(tmp_path / "zero.png").text
    assert (text["steps"], text["guidance"], text["lightning"]) == ("4", "0.0", str(fast))
    _generate(runs, tmp_path / "two.png", **asked | {"steps": 2, "guidance": 1.5})
    text = Image.open(tmp_path / "two.png").text
    assert (text["steps"], text["guidance"]) == ("2", "1.5")


def test_another_base_of_the_same_shape_takes_the_runs_place(
    runs: tuple[Path, Manifest], stock: dict[str, np.ndarray], tmp_path: Path
) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(small_base())
    with torch.no_grad():
        pipe.unet.conv_in.weight.mul_(1.5)
    pipe.image_encoder = pipe.feature_extractor = None  # as fine-tuned ones are shared
    pipe.save_pretrained(tmp_path / "finetuned")
    tuned = str(tmp_path / "finetuned")
    zero = _paint(runs, tmp_path / "zero.png", base=tuned, scale_ref=0.0, scale_body=0.0)
    assert np.array_equal(zero, _bare(pipe))
    assert np.abs(zero - stock["base"]).max() > 3
    assert Image.open(tmp_path / "zero.png").text["base"] == tuned
    assert np.abs(_paint(runs, tmp_path / "x.png", base=tuned) - zero).max() > 3


def test_a_base_of_another_shape_is_refused(runs: tuple[Path, Manifest], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'small-sdxl' has a UNet of another shape \(in_channels is 8, not 4\)"):
        _generate(runs, tmp_path / "x.png", base="small-sdxl")
    with pytest.raises(BolidError, match="neither a folder"):
        _generate(runs, tmp_path / "x.png", base="/nowhere/at/all")


def test_bad_photos_are_named(runs: tuple[Path, Manifest], tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.jpg"
    broken.write_text("<html>not a photo</html>")
    Image.new("RGB", (300, 400), "grey").save(empty)
    with pytest.raises(BolidError, match=r"broken\.jpg: not an image"):
        _generate(runs, tmp_path / "x.png", photos=[broken])
    with pytest.raises(BolidError, match=r"empty\.jpg: no person found"):
        _generate(runs, tmp_path / "x.png", run="yolo", photos=[empty])
    with pytest.raises(BolidError, match=r"empty\.jpg: the person in it shows no visible keypoint"):
        _generate(runs, tmp_path / "x.png", run="strict", photos=[empty])
    with pytest.raises(UsageError, match="no such photo"):
        _generate(runs, tmp_path / "x.png", photos=[tmp_path / "gone.jpg"])
    with pytest.raises(UsageError, match=r"x\.jpg: images are written as PNG"):
        _generate(runs, tmp_path / "x.jpg")
    assert not list(tmp_path.glob("x*"))


def test_a_run_that_is_not_there_or_was_altered_is_an_error(runs: tuple[Path, Manifest], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run"):
        _generate(runs, tmp_path / "x.png", run="none")
    data = Path(shutil.copytree(runs[0], tmp_path / "copy"))
    weights = data / "runs" / "bolid" / "body.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BolidError, match=r"not what adapter\.json says"):
        _generate((data, runs[1]), tmp_path / "x.png")
    (data / "runs" / "bolid" / "adapter.json").unlink()
    with pytest.raises(BolidError, match="not finished"):
        _generate((data, runs[1]), tmp_path / "x.png")


@pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason=f"no photos at {REAL_PHOTOS}")
def test_real_photos_of_one_person_one_or_several(runs: tuple[Path, Manifest], tmp_path: Path) -> None:
    photos = sorted(path for path in (REAL_PHOTOS / "person-a").iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    one = _generate(runs, tmp_path / "one.png", run="yolo", photos=photos[:1])
    several = _generate(runs, tmp_path / "several.png", run="yolo", photos=photos[:3])
    assert (one["body"], one["photos"], several["photos"]) == ("photos", 1, len(photos[:3]))
    assert not np.array_equal(_pixels(tmp_path / "one.png"), _pixels(tmp_path / "several.png"))


@pytest.mark.parametrize(("width", "height"), [(48, 80), (88, 56)])
def test_the_person_and_their_box_are_in_an_image_of_any_shape(
    runs: tuple[Path, Manifest], people: list[list[Path]], tmp_path: Path, width: int, height: int
) -> None:
    shape: dict[str, Any] = {"width": width, "height": height, "negative_prompt": "blue"}
    nobody = _paint(runs, tmp_path / "x.png", photos=people[0], scale_ref=0.0, scale_body=0.0, **shape)
    alone = _paint(runs, tmp_path / "x.png", photos=people[0][:1], **shape)
    assert alone.shape == (height, width, 3) and np.abs(alone - nobody).max() > 3
    everywhere = _paint(runs, tmp_path / "x.png", people=people[0][:1], boxes=[f"0,0,{width},{height}"], **shape)
    assert np.abs(everywhere - alone).max() <= 1
    above = _paint(runs, tmp_path / "x.png", people=people[0][:1], boxes=[f"0,0,{width},{height // 2}"], **shape)
    change = np.abs(above - nobody).mean(axis=(1, 2))
    assert change[: height // 2].mean() > change[height // 2 :].mean()

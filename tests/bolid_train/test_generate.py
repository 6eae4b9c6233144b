"""Images: stock diffusers gives ours bit for bit, zero scale gives the base's, and bad photos are named."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import Manifest
from bolid_train import adapter, conditioning
from bolid_train.base import Base
from bolid_train.batches import PersonSampler
from bolid_train.features import FeatureCache
from bolid_train.generate import generate
from bolid_train.sampler import sample
from bolid_train.views import Shards

PHOTOS = Path(__file__).parents[3] / "shared" / "photos"
PROMPT = "a photo of a person in red"

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


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=np.int16)


def _generate(trained: tuple[Path, Manifest], out: Path, **changed: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "run": None,
        "prompt": PROMPT,
        "photos": [],
        "image_prompt": None,
        "scale_ref": 1.0,
        "scale_body": 1.0,
        "seed": 3,
        "steps": 4,
        "guidance": 5.0,
    }
    return generate(trained[0], out=out, manifest=trained[1], **settings | changed)


@pytest.fixture(scope="session")
def stock(trained: tuple[Path, Manifest], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Images by stock diffusers in a process that imports nothing of ours, and ours from the same photos."""
    data, settings = trained
    out = tmp_path_factory.mktemp("stock")
    run = data / "runs" / "bolid"
    base = Base.find(settings.train, data)
    people = Shards(data / "shards").people("train")
    cache = FeatureCache(data / "features", base, settings.train)
    batch = cache.batch(PersonSampler(people, 1, 3, seed=0).picks(1)).to(torch.device("cpu"))
    pipe = base.pipeline(torch.device("cpu"))
    method = conditioning.find("bolid")(settings.train, adapter.read(run).ref_dim)
    method.install(pipe.unet)
    method.load(run)
    for source in ("ref", "body"):
        method.scale(source, 0.8)
    with torch.inference_mode():
        texts = pipe.encode_prompt(PROMPT)
        given = method.condition(replace(batch, prompt_embeds=texts[0], pooled_prompt_embeds=texts[2]))
        bare = method.condition(replace(batch, prompt_embeds=texts[1], pooled_prompt_embeds=texts[3]))
        negative = method.drop(method.drop(bare, "ref"), "body")
        sample(pipe, given, negative, steps=4, guidance=5.0, resolution=64, seed=3).save(out / "ours.png")
    ref, body = given.added_cond_kwargs["image_embeds"]
    embeds = {"ref": torch.cat([0 * ref, ref]), "body": torch.cat([0 * body, body])}
    save_file({name: value.clone() for name, value in embeds.items()}, out / "embeds.safetensors")
    subprocess.run(
        [sys.executable, "-c", STOCK, str(run), str(out / "embeds.safetensors"), str(out)], check=True, cwd=out
    )
    return {path.stem: _pixels(path) for path in out.glob("*.png")}


def test_stock_diffusers_loads_the_adapter_and_gives_our_image(stock: dict[str, np.ndarray]) -> None:
    assert np.abs(stock["stock-0.8"] - stock["ours"]).max() == 0


def test_with_the_adapter_the_image_is_another(stock: dict[str, np.ndarray]) -> None:
    assert np.abs(stock["stock-0.8"] - stock["base"]).max() > 3


def test_zero_scale_is_the_base_bit_for_bit(
    trained: tuple[Path, Manifest], stock: dict[str, np.ndarray], tmp_path: Path
) -> None:
    _generate(trained, tmp_path / "zero.png", scale_ref=0.0, scale_body=0.0)
    assert np.array_equal(_pixels(tmp_path / "zero.png"), stock["base"])
    assert np.array_equal(stock["stock-0.0"], stock["base"])


def test_text_alone_draws_a_body_by_the_seed(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    made = [_generate(trained, tmp_path / f"{number}.png", seed=seed) for number, seed in enumerate((3, 3, 4))]
    assert [facts["body"] for facts in made] == ["drawn"] * 3
    assert all(facts["scale_ref"] == 0 for facts in made)
    images = [_pixels(tmp_path / f"{number}.png") for number in range(3)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_the_image_says_how_it_was_made(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    _generate(trained, tmp_path / "x.png", prompt="человек в красном", scale_body=0.5)
    text = Image.open(tmp_path / "x.png").text
    assert (text["prompt"], text["seed"], text["scale_body"], text["run"]) == ("человек в красном", "3", "0.5", "bolid")


def test_an_image_prompt_alone_is_the_reference(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    Image.new("RGB", (80, 80), "red").save(tmp_path / "style.jpg")
    facts = _generate(trained, tmp_path / "x.png", image_prompt=tmp_path / "style.jpg")
    assert (facts["body"], facts["scale_ref"]) == ("drawn", 1.0)


def test_bad_photos_are_named(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.jpg"
    broken.write_text("<html>not a photo</html>")
    Image.new("RGB", (300, 400), "grey").save(empty)
    with pytest.raises(BolidError, match=r"broken\.jpg: not an image"):
        _generate(trained, tmp_path / "x.png", photos=[broken])
    with pytest.raises(BolidError, match=r"empty\.jpg: no person found"):
        _generate(trained, tmp_path / "x.png", photos=[empty])
    with pytest.raises(UsageError, match="no such photo"):
        _generate(trained, tmp_path / "x.png", photos=[tmp_path / "gone.jpg"])
    assert not (tmp_path / "x.png").exists()


def test_a_run_that_is_not_there_or_was_altered_is_an_error(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run"):
        _generate(trained, tmp_path / "x.png", run="none")
    data = Path(shutil.copytree(trained[0], tmp_path / "copy"))
    weights = data / "runs" / "bolid" / "body.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BolidError, match=r"not what adapter\.json says"):
        _generate((data, trained[1]), tmp_path / "x.png")
    (data / "runs" / "bolid" / "adapter.json").unlink()
    with pytest.raises(BolidError, match="not finished"):
        _generate((data, trained[1]), tmp_path / "x.png")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no photos at {PHOTOS}")
def test_real_photos_of_one_person_one_or_several(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    photos = sorted(path for path in (PHOTOS / "person-a").iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    one = _generate(trained, tmp_path / "one.png", photos=photos[:1])
    several = _generate(trained, tmp_path / "several.png", photos=photos[:3])
    assert (one["body"], one["photos"], several["photos"]) == ("photos", 1, len(photos[:3]))
    assert not np.array_equal(_pixels(tmp_path / "one.png"), _pixels(tmp_path / "several.png"))

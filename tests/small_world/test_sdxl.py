"""The committed small SDXL: an ordinary pipeline that draws what prompts ask."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from bolid_train.embedded.attributes import load_attributes
from small_world.check.base import Sample, samplers
from small_world.sdxl import FOLDER
from small_world.world.captions import ATTRIBUTES, WORDS

STOCK = """
import sys
import torch
from diffusers import StableDiffusionXLPipeline

pipe = StableDiffusionXLPipeline.from_pretrained(sys.argv[1])
prompt = "a full-body photo of a person with dark skin and long black hair, in a red top and blue trousers, in a garden"
image = pipe(prompt, num_inference_steps=10, guidance_scale=3.0, generator=torch.Generator().manual_seed(0)).images[0]
image.save(sys.argv[2])
assert not [name for name in sys.modules if name.startswith("bolid")]
"""


@pytest.fixture(scope="module")
def drawn() -> dict[str, Sample]:
    return samplers()


def test_a_script_that_imports_nothing_of_ours_draws_with_it(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    subprocess.run([sys.executable, "-c", STOCK, FOLDER, picture], cwd=tmp_path, check=True, timeout=120)
    assert Image.open(picture).size == (64, 64)


@pytest.mark.parametrize("name", ["base", "lightning"])
def test_samples_have_the_colours_asked_for(drawn: dict[str, Sample], name: str) -> None:
    asked = ["red", "blue", "green", "yellow", "white", "black", "pink", "orange"]
    images = drawn[name]([f"a full-body photo of a person, in a short-sleeved {colour} top" for colour in asked], 0)
    found = load_attributes().predict(images)[:, ATTRIBUTES.index("top")]
    right = [WORDS["top"][label] == colour for label, colour in zip(found.tolist(), asked, strict=True)]
    assert sum(right) >= 6


def test_prompts_and_seeds_make_the_picture_and_nothing_else(drawn: dict[str, Sample]) -> None:
    prompts = ["a person in a red top", "a person in a blue top"]
    first, again = (drawn["lightning"](prompts, 0) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, drawn["lightning"](prompts, 1))
    assert not torch.equal(first[0], first[1])


def test_all_weights_of_a_world_stay_small() -> None:
    sizes = {file: file.stat().st_size for file in FOLDER.parent.rglob("*.safetensors")}
    of_3d = sum(size for file, size in sizes.items() if FOLDER.parent / "3d" in file.parents)
    assert sum(sizes.values()) - of_3d <= 40e6
    assert of_3d <= 70e6

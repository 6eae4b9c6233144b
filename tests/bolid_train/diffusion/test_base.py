"""The base: found by name, loaded whole and in one type, or an error that says what is missing."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from bolid_data.errors import UsageError
from bolid_data.manifest import Train
from bolid_train.diffusion.base import Base
from bolid_train.inference.generate import Request, generate
from bolid_train.training.trainer import train
from tests.support.drawn_shards import write_manifest
from tests.support.narrow_world import write_base
from tests.support.small_base import small_base

CPU = torch.device("cpu")


def _dtypes(base: Base) -> set[torch.dtype]:
    pipe = base.pipeline(CPU)
    models = [pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2, pipe.image_encoder, base.unet(CPU)]
    return {parameter.dtype for model in models for parameter in model.parameters()}


def test_a_base_kept_in_half_precision_runs_in_single_on_a_cpu(tmp_path: Path) -> None:
    half = StableDiffusionXLPipeline.from_pretrained(small_base(), torch_dtype=torch.float16)
    half.save_pretrained(tmp_path)
    assert _dtypes(Base.at("half", tmp_path)) == {torch.float32}


def test_the_default_base_needs_no_hub_and_is_the_same_wherever_the_manifest_lies(tmp_path: Path) -> None:
    base = Base.resolve(Train(), tmp_path)
    assert (base.name, Base.resolve(Train(), tmp_path / "elsewhere")) == ("small-sdxl", base)
    assert _dtypes(base) == {torch.float32}


def test_a_run_on_the_default_base_generates_on_another_machine(dataset: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(dataset / "shards", here / "shards")
    settings = write_manifest(here, base="small-sdxl")
    train(settings, here, steps=1)
    shutil.copytree(here / "runs" / "bolid", there / "runs" / "bolid")
    shutil.rmtree(here)
    adapter = json.loads((there / "runs" / "bolid" / "adapter.json").read_text())
    assert (adapter["base"], adapter["licences"]["base"]) == ("small-sdxl", "MIT")
    out = tmp_path / "picture.png"
    generate(there, write_manifest(there), Request("a person in a red top", out, steps=2))
    assert Image.open(out).size == (64, 64)


def test_a_base_without_an_image_encoder_takes_the_one_that_is_named(tmp_path: Path) -> None:
    write_base(tmp_path / "narrow")
    with pytest.raises(UsageError, match=r"no image_encoder; name one in \[train\] image_encoder"):
        Base.resolve(Train(base="narrow"), tmp_path)
    base = Base.resolve(Train(base="narrow", image_encoder="clip-bodies"), tmp_path)
    assert base.side == 128
    pipe = base.pipeline(CPU)
    assert pipe.image_encoder.config.projection_dim == base.image_embed_dim
    image = pipe("a photo of a person", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (128, 128)


def test_a_base_that_lacks_something_says_what(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a diffusers pipeline"):
        Base.at("mine", tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(UsageError, match=r"no image_encoder; name one in \[train\] image_encoder"):
        Base.at("mine", tmp_path)

"""Which files of a model are needed, and which are missing, in folders as the libraries write them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from transformers import CLIPVisionModelWithProjection

from bolid_data import model_files, weights
from bolid_data.errors import BolidError
from bolid_train.diffusion.base import Base
from tests.support.small_base import small_base

CPU = torch.device("cpu")


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A copy of a pipeline, `base` in `tmp_path`."""
    return Path(shutil.copytree(small_base(), tmp_path / "base"))


@pytest.mark.parametrize(
    ("removed", "lacking"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "unet/*.safetensors"),
        ("text_encoder/config.json", "text_encoder/config.json"),
        ("scheduler", "scheduler/scheduler_config.json"),
        ("tokenizer_2", "tokenizer_2/*.json"),
        ("vae", "vae/*.safetensors, vae/config.json"),
    ],
)
def test_a_folder_that_lacks_part_of_a_component_is_refused(pipeline: Path, removed: str, lacking: str) -> None:
    assert weights.folder("base", pipeline.parent) == pipeline
    file = pipeline / removed
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    with pytest.raises(BolidError) as refused:
        weights.folder("base", pipeline.parent)
    assert str(refused.value) == f"model 'base': {pipeline} lacks {lacking}; copy or download the folder again"


def test_a_component_that_the_pipeline_does_not_have_is_not_missed(pipeline: Path) -> None:
    index = json.loads((pipeline / "model_index.json").read_text())
    (pipeline / "model_index.json").write_text(json.dumps(index | {"image_encoder": [None, None]}))
    (pipeline / "image_encoder" / "model.safetensors").unlink()
    assert model_files.missing(pipeline) == ["image_encoder/*.safetensors"], "a base may have one without naming it"
    shutil.rmtree(pipeline / "image_encoder")
    assert model_files.missing(pipeline) == []


def test_a_link_that_leads_nowhere_is_missed(pipeline: Path) -> None:
    (pipeline / "tokenizer" / "merges.txt").symlink_to("no-such-file")
    assert model_files.missing(pipeline) == ["tokenizer/merges.txt"]


def test_each_shard_that_the_index_names_is_needed(tmp_path: Path) -> None:
    model = CLIPVisionModelWithProjection.from_pretrained(small_base() / "image_encoder")
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    shards = sorted(file.name for file in tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    assert model_files.missing(tmp_path) == []
    files = [file.name for file in tmp_path.iterdir()]
    assert model_files.needed(files, None) == (["config.json"], [*shards, "model.safetensors.index.json"])
    (tmp_path / shards[1]).unlink()
    assert model_files.missing(tmp_path) == [shards[1]]


def test_an_index_cannot_point_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    index = {"weight_map": {"a": "../../etc/passwd", "b": 7, "c": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert model_files.missing(tmp_path) == ["model-00001-of-00001.safetensors"]
    (tmp_path / "model_index.json").write_text(json.dumps({"../unet": ["diffusers", "UNet2DConditionModel"], "b": 1}))
    assert model_files.missing(tmp_path) == []


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_a_damaged_description_is_left_to_the_libraries(tmp_path: Path, content: str) -> None:
    for name in ("config.json", "model_index.json"):
        (tmp_path / name).write_text(content)
        assert (model_files.missing(tmp_path), model_files.variant(tmp_path)) == ([], None)


def test_the_best_weights_are_chosen() -> None:
    full, half, pickled = "model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"
    parts = ["model-00001-of-00002.fp16.safetensors", "model.safetensors.index.fp16.json"]
    assert model_files.weights_among([pickled, half, full, "model.onnx", "flax_model.msgpack"]) == (None, [full])
    assert model_files.weights_among([pickled, half]) == ("fp16", [half])
    assert model_files.weights_among([pickled, *parts]) == ("fp16", parts)
    assert model_files.weights_among([pickled, "rust_model.ot"]) == (None, [pickled])
    assert model_files.weights_among(["model.non_ema.safetensors", "training_args.bin"]) == (None, [])


def test_a_pipeline_in_half_precision_alone_is_loaded(tmp_path: Path) -> None:
    half = StableDiffusionXLPipeline.from_pretrained(small_base(), torch_dtype=torch.float16)
    half.save_pretrained(tmp_path / "half", variant="fp16")
    folder = weights.folder("half", tmp_path)
    assert {file.name for file in folder.rglob("*.safetensors")} == {
        "model.fp16.safetensors", "diffusion_pytorch_model.fp16.safetensors",
    }  # fmt: skip
    base = Base.at("half", folder)
    networks = [base.pipeline(CPU).unet, base.unet(CPU), base.vae(CPU), base.pipeline(CPU).image_encoder]
    assert {value.dtype for network in networks for value in network.parameters()} == {torch.float32}

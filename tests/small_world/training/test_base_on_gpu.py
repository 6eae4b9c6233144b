"""The whole training of `small-sdxl-3d` at small size, killed halfway: it goes on, and its files become a pipeline."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from bolid_data.errors import BolidError
from small_world.training import base_files, base_on_gpu
from small_world.training.base import encode
from small_world.training.corpus_file import read

WITHOUT_THE_RENDERER = """
import sys
sys.modules["embreex"] = None
from small_world.training.base_on_gpu import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def trained(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    options = ["--corpus", packed, "--work", folder / "work", "--out", folder / "out", "--small"]
    command = [str(option) for option in options]
    checkpoint = folder / "work" / "base-run" / "checkpoint.pt"
    with subprocess.Popen([sys.executable, "-c", WITHOUT_THE_RENDERER, *command]) as process:
        while not checkpoint.is_file():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    (folder / "killed.jsonl").write_bytes((folder / "out" / "log.jsonl").read_bytes())
    assert base_on_gpu.main(command) == 0
    return folder


def test_a_killed_run_goes_on(trained: Path) -> None:
    before, after = (_steps(trained / name) for name in ("killed.jsonl", "out/log.jsonl"))
    assert before["vae"] == after["vae"] == [1, 2]  # not trained again
    resumed = after["base"][len(before["base"]) :]
    assert resumed[0] in (3, 5) and resumed == list(range(resumed[0], 7))


def _steps(log: Path) -> dict[str, list[int]]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if "error" in line]
    taken = [(line["part"], line["step"]) for line in lines if "step" in line]
    return {part: [step for name, step in taken if name == part] for part in ("vae", "base")}


@pytest.fixture(scope="module")
def pipeline(trained: Path) -> Path:
    base_files.main([str(trained / "out"), "--out", str(trained / "pipeline")])
    return trained / "pipeline"


def test_its_files_become_a_pipeline_that_draws(trained: Path, pipeline: Path) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(pipeline, dtype=torch.float32)
    image = pipe("a photo of a person in a red top", num_inference_steps=2).images[0]
    assert image.size == (128, 128) and np.asarray(image).std() > 1
    assert 12e6 <= sum(weights.numel() for weights in pipe.unet.parameters()) <= 20e6
    written = torch.load(trained / "work" / "base-run" / "checkpoint.pt", weights_only=True)["average"]
    name = "unet.conv_in.weight"
    torch.testing.assert_close(pipe.unet.conv_in.weight.data, written[f"module.{name}"].half().float())
    for folder in (trained / "out", pipeline):
        sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
        assert max(sizes) <= 15e6 and sum(sizes) <= 45e6


def test_a_pipeline_is_trained_further_with_its_vae(pipeline: Path, packed: Path, tmp_path: Path) -> None:
    options = ["--corpus", packed, "--work", tmp_path, "--out", tmp_path / "out", "--small", "--start", pipeline]
    assert base_on_gpu.main([str(option) for option in options]) == 0
    before, after = (_weights(folder) for folder in (pipeline, tmp_path / "out"))
    assert all(torch.equal(after["vae"][name], weight) for name, weight in before["vae"].items())
    moved = torch.cat([(after["unet"][name] - weight).flatten() for name, weight in before["unet"].items()])
    assert 0 < moved.float().square().mean().sqrt() < 0.01  # from other weights it would be ten times as far


def _weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The VAE's and the UNet's, of a pipeline's folder or of a run's."""
    if (folder / "vae").is_dir():
        parts = {"vae": AutoencoderKL, "unet": UNet2DConditionModel}
        return {name: kind.from_pretrained(folder / name).state_dict() for name, kind in parts.items()}
    model, vae = base_files.read(folder)
    return {"vae": vae.state_dict(), "unet": model.unet.state_dict()}


def test_the_sheet_shows_photos_and_samples(trained: Path) -> None:
    assert Image.open(trained / "out" / "samples.jpg").size == (2 * 128, 2 * 128)


def test_latents_are_of_photos_and_of_mirrored_photos(trained: Path, packed: Path) -> None:
    photos = read(packed)
    latents = torch.load(trained / "work" / "latents.pt", weights_only=True)
    assert latents.shape == (2 * len(photos), 16, 16, 16)
    vae = AutoencoderKL.from_pretrained(trained / "work" / "vae")
    torch.testing.assert_close(latents[: len(photos)], encode(vae, photos))
    photos.images[:] = photos.images[:, :, ::-1]
    torch.testing.assert_close(latents[len(photos) :], encode(vae, photos))


def test_a_missing_file_of_weights_is_named(trained: Path, tmp_path: Path) -> None:
    for file in (trained / "out").glob("*.safetensors"):
        if file.name != "base-2-of-3.safetensors":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(BolidError, match="not all the weights of a TextToImage"):
        base_files.read(tmp_path)


def test_a_part_that_fails_is_logged_and_the_rest_is_tried(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")  # without weights
    options = ["--corpus", packed, "--work", tmp_path, "--out", tmp_path / "out", "--small"]
    assert base_on_gpu.main([str(option) for option in options]) == 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["part"] for line in lines if "error" in line] == ["vae", "base", "samples"]

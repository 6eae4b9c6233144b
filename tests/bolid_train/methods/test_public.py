"""A published IP-Adapter is what a run may start from: ours and stock diffusers draw the same image with it."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bolid_data.errors import BolidError, UsageError
from bolid_train.diffusion.sampler import sample
from bolid_train.inference.generate import Request, generate
from bolid_train.training.trainer import train
from tests.support.drawn_batches import REF_DIM, drawn_batch, installed
from tests.support.drawn_shards import write_manifest
from tests.support.small_base import small_base


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same IP-Adapter as published: tensors with names, and dictionaries in a pickle."""
    folder = tmp_path_factory.mktemp("public")
    method, _ = installed("ip-adapter", absent="projected_zeros")
    generator = torch.Generator().manual_seed(5)
    tensors = {
        name: value.detach() + 0.05 * torch.randn(value.shape, generator=generator)
        for name, value in method.branches.tensors("ref").items()
    }
    save_file(tensors, folder / "ip-adapter.safetensors")
    nested: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in tensors.items():
        part, _, key = name.partition(".")
        nested[part][key] = value
    torch.save(nested, folder / "ip-adapter.bin")
    return {"safetensors": folder / "ip-adapter.safetensors", "bin": folder / "ip-adapter.bin"}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("name", ["ip-adapter", "bolid"])
def test_both_formats_give_the_stock_image(files: dict[str, Path], kind: str, name: str) -> None:
    texts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    method, unet = installed(name)
    method.load_public(files[kind])
    ours = StableDiffusionXLPipeline.from_pretrained(small_base(), unet=unet, add_watermarker=False, **texts)
    stock = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False, **texts)
    stock.load_ip_adapter(files[kind].parent, subfolder="", weight_name=files[kind].name, image_encoder_folder=None)
    stock.set_ip_adapter_scale(1.0)
    batch = drawn_batch(1)
    with torch.no_grad():
        positive, _ = method.condition(batch)
        negative = positive
        for condition in ("text", "ref", "body"):
            negative = method.drop(negative, condition)
        [image] = sample(ours, positive, negative, 2, 5.0, 64, [3])
    reference = batch.features["image_embeds"]
    [expected] = stock(
        prompt_embeds=batch.prompt_embeds,
        pooled_prompt_embeds=batch.pooled_prompt_embeds,
        negative_prompt_embeds=torch.zeros_like(batch.prompt_embeds),
        negative_pooled_prompt_embeds=torch.zeros_like(batch.pooled_prompt_embeds),
        ip_adapter_image_embeds=[torch.stack([torch.zeros_like(reference), reference])],
        num_inference_steps=2, guidance_scale=5.0, height=64, width=64, generator=[torch.Generator().manual_seed(3)],
    ).images  # fmt: skip
    assert image.tobytes() == expected.tobytes()


def test_a_photo_is_preprocessed_as_in_the_stock_pipeline(
    files: dict[str, Path], dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    shutil.copy(files["safetensors"], tmp_path / "published.safetensors")
    table = {"ref_from": "published.safetensors"}
    settings = write_manifest(tmp_path, method="ip-adapter", **{"ip-adapter": table}, learning_rate=1e-12)
    train(settings, tmp_path, steps=1)
    photo = Image.effect_noise((60, 100), 80).convert("RGB")  # tall: head and feet are cropped off, as there
    photo.save(tmp_path / "photo.png")
    request = Request("a person", tmp_path / "ours.png", image_prompt=tmp_path / "photo.png", steps=2, seed=3)
    generate(tmp_path, settings, request)
    stock = StableDiffusionXLPipeline.from_pretrained(small_base(), add_watermarker=False)
    stock.load_ip_adapter(tmp_path, subfolder="", weight_name="published.safetensors", image_encoder_folder=None)
    stock.set_ip_adapter_scale(1.0)
    [expected] = stock(
        "a person", ip_adapter_image=photo, num_inference_steps=2, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
    ).images  # fmt: skip
    difference = np.asarray(Image.open(tmp_path / "ours.png"), np.int16) - np.asarray(expected, np.int16)
    assert np.abs(difference).max() <= 1, "a training step of almost nothing"


def test_the_files_own_answer_to_nothing_is_kept_and_trained(files: dict[str, Path]) -> None:
    method, unet = installed("bolid")
    before = len(list(method.parameters()))
    method.load_public(files["bin"])
    ref, body = unet.encoder_hid_proj.image_projection_layers
    assert ref(torch.zeros(1, REF_DIM)).any() and not body(torch.zeros(1, 32)).any()
    trained = {id(value) for value in method.parameters()}
    assert len(trained) == before + 2 and {id(ref.norm.bias), id(ref.proj.bias)} <= trained


class _Code:
    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


def test_a_strangers_file_runs_no_code_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    method, _ = installed("bolid")
    (tmp_path / "code.bin").write_bytes(pickle.dumps(_Code()))
    torch.save({"image_proj": _Code()}, tmp_path / "zipped.bin")
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("code.bin", "zipped.bin", "empty.bin", "text.safetensors"):
        with pytest.raises(BolidError, match=rf"{name}: cannot be read"):
            method.load_public(tmp_path / name)
    assert not (tmp_path / "executed").exists()
    torch.save([1, 2], tmp_path / "list.bin")
    save_file({"unet.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    for name in ("list.bin", "lora.safetensors"):
        with pytest.raises(BolidError, match=rf"{name}: not an IP-Adapter: it has no 'image_proj'"):
            method.load_public(tmp_path / name)
    save_file({"image_proj.x": torch.zeros(1), "ip_adapter.1": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BolidError, match=r"other\.safetensors does not fit this base or method"):
        method.load_public(tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=r"gone\.bin: no such file"):
        method.load_public(tmp_path / "gone.bin")


@pytest.mark.parametrize("name", ["text", "lora", "ip-adapter-views"])
def test_a_method_without_a_reference_branch_says_so(name: str, files: dict[str, Path]) -> None:
    method, _ = installed(name)
    with pytest.raises(UsageError, match=f"method '{name}' cannot start from a published file"):
        method.load_public(files["bin"])


def test_training_starts_from_the_file_and_resumes(files: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "shards", tmp_path / "shards")
    shutil.copy(files["bin"], tmp_path / "published.bin")
    nothing = {"drop_text": 0.0, "drop_image": 0.0, "drop_both": 0.0}
    losses = {}
    for method in ("ip-adapter", "bolid"):
        settings = write_manifest(tmp_path, method=method, **nothing, **{method: {"ref_from": "published.bin"}})
        train(settings, tmp_path, steps=2, run=f"{method}-resumed")
        train(settings, tmp_path, steps=4, run=f"{method}-resumed", resume=True)
        train(settings, tmp_path, steps=4, run=f"{method}-whole")
        lines = [(tmp_path / "runs" / f"{method}-{run}" / "losses.jsonl").read_text() for run in ("resumed", "whole")]
        assert lines[0] == lines[1]
        losses[method] = json.loads(lines[0].splitlines()[0])["diffusion"]
    assert losses["bolid"] == losses["ip-adapter"], "the body adds nothing at first"
    (tmp_path / "published.bin").unlink()
    request = Request("a person", tmp_path / "x.png", run="bolid-whole", steps=2)
    generate(tmp_path, settings, request)  # the run needs no other file
    with pytest.raises(UsageError, match=r"published file 'published\.bin': no such file"):
        train(settings, tmp_path, steps=1, run="other")

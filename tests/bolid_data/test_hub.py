"""Models of a hub: HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and revisions; what is downloaded of a repository, and copies that
lack something."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bolid_data import hub as hub_module
from bolid_data import model_files
from bolid_train.diffusion.base import Base
from tests.support.hub import Hub, commit, serve
from tests.support.paths import ROOT
from tests.support.small_base import small_base

NAME = "somebody/model"
MODELS = {NAME: {"main": {"config.json": b'{"now": 1}'}, "v1": {"config.json": b'{"then": 1}'}}}


def find(name: str, home: Path, hub: Hub, **variables: str) -> subprocess.CompletedProcess[str]:
    """`weights.folder` in a process of its own, because the hub's library reads its environment when imported."""
    return subprocess.run(
        command(name), env=environment(home, hub) | variables, capture_output=True, text=True, timeout=120
    )


def command(name: str) -> list[str]:
    return [sys.executable, "-c", f"from bolid_data import weights; print(weights.folder({name!r}))"]


def environment(home: Path, hub: Hub) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return clean | {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}


def test_a_revision_is_pinned_and_the_cache_is_in_hf_home(tmp_path: Path) -> None:
    with serve(Hub(MODELS)) as hub:
        found = find(f"{NAME}@v1", tmp_path / "home", hub)
        assert found.returncode == 0, found.stderr
        folder = Path(found.stdout.strip())
        assert folder == tmp_path / "home" / "hub" / "models--somebody--model" / "snapshots" / commit("v1")
        assert (folder / "config.json").read_bytes() == b'{"then": 1}'
        latest = Path(find(NAME, tmp_path / "home", hub).stdout.strip())
        assert (latest / "config.json").read_bytes() == b'{"now": 1}'
        asked = len(hub.requests)
        assert find(f"{NAME}@v1", tmp_path / "home", hub, HF_HUB_OFFLINE="1").stdout.strip() == str(folder)
        assert find(f"{NAME}@{commit('v1')}", tmp_path / "home", hub).stdout.strip() == str(folder)
        assert len(hub.requests) == asked, "what is in the cache is not asked for again"


def test_the_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    with serve(Hub(MODELS, gated={NAME: "hf_secret"})) as hub:
        refused = find(NAME, tmp_path, hub, HF_TOKEN="hf_wrong")
        assert "it is gated: accept its terms on its page, and set HF_TOKEN" in refused.stderr
        assert "hf_wrong" not in refused.stderr
        found = find(NAME, tmp_path, hub, HF_TOKEN="hf_secret")
        assert found.returncode == 0, found.stderr
        assert hub.requests[-1][1] == "Bearer hf_secret"


@pytest.mark.parametrize(
    ("name", "offline", "why", "command"),
    [
        (f"{NAME}@v2", "0", "it has no such revision", f"hf download {NAME} --revision v2"),
        ("nobody/model", "0", "the hub has no such model, or HF_TOKEN does not allow it", "hf download nobody/model"),
        (f"{NAME}@v1", "1", "HF_HUB_OFFLINE is set", f"hf download {NAME} --revision v1"),
    ],
)
def test_what_cannot_be_had_says_why(name: str, offline: str, why: str, command: str, tmp_path: Path) -> None:
    with serve(Hub(MODELS)) as hub:
        assert f"({why}); run `{command}`" in find(name, tmp_path, hub, HF_HUB_OFFLINE=offline).stderr


SDXL = "somebody/sdxl"
DECOYS = [
    "sd_xl_base_1.0.safetensors", "pipeline.py", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.bin", "text_encoder/flax_model.msgpack", "text_encoder/model.onnx",
    "text_encoder/pytorch_model.bin.index.json", "vae_decoder/openvino_model.xml", "vae_1_0/config.json",
    "vae_1_0/diffusion_pytorch_model.safetensors",
]  # fmt: skip
"""What a repository of an SDXL holds besides the pipeline that is loaded."""


def files_below(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def sdxl_repository(folder: Path) -> dict[str, bytes]:
    return files_below(folder) | {"README.md": b"license: mit\n"} | dict.fromkeys(DECOYS, b"not needed")


def test_of_a_pipeline_only_what_is_loaded_is_downloaded(tmp_path: Path) -> None:
    files = sdxl_repository(small_base())
    with serve(Hub({SDXL: {"main": files}})) as hub:
        folder = Path(find(SDXL, tmp_path, hub).stdout.strip())
    assert set(files_below(folder)) == set(files) - set(DECOYS)
    base = Base.at(SDXL, folder)
    base.pipeline(torch.device("cpu"))
    assert hub_module.commit_of(base.folder) == hub_module.commit_of(base.image_encoder) == commit("main")


def test_a_component_that_has_only_half_precision_is_downloaded_in_it(tmp_path: Path) -> None:
    files = sdxl_repository(small_base())
    half = "vae/diffusion_pytorch_model.fp16.safetensors"
    files[half] = files.pop("vae/diffusion_pytorch_model.safetensors")
    with serve(Hub({SDXL: {"main": files}})) as hub:
        folder = Path(find(SDXL, tmp_path, hub).stdout.strip())
    assert set(files_below(folder)) == set(files) - set(DECOYS)
    assert model_files.variant(folder) == "fp16"
    Base.at(SDXL, folder).pipeline(torch.device("cpu"))


def test_of_a_model_of_transformers_only_what_is_loaded_is_downloaded(tmp_path: Path) -> None:
    needed = {
        "config.json": b'{"model_type": "clip"}', "tokenizer.json": b"{}", "chat_template.jinja": b"",
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}).encode(),
        **dict.fromkeys(SHARDS, b"weights"),
    }  # fmt: skip
    others = ["pytorch_model.bin", "tf_model.h5", "model.fp16.safetensors", "onnx/model.onnx", "modeling_clip.py"]
    with serve(Hub({NAME: {"main": needed | dict.fromkeys(others, b"not needed")}})) as hub:
        folder = Path(find(NAME, tmp_path, hub).stdout.strip())
    assert set(files_below(folder)) == set(needed)


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def test_an_interrupted_download_is_noticed_and_completed(tmp_path: Path) -> None:
    files, late = sdxl_repository(small_base()), "vae/diffusion_pytorch_model.safetensors"
    with serve(Hub({SDXL: {"main": files}}, stalled={late})) as hub:
        process = subprocess.Popen(command(SDXL), env=environment(tmp_path, hub), stderr=subprocess.DEVNULL)
        snapshot = tmp_path / "hub" / "models--somebody--sdxl" / "snapshots" / commit("main")
        others = [snapshot / name for name in set(files) - {late, *DECOYS}]
        assert hub.halfway.wait(120)
        while not all(file.exists() for file in others):
            time.sleep(0.05)
        process.kill()
        process.wait()
        hub.stalled.clear()
        offline = find(SDXL, tmp_path, hub, HF_HUB_OFFLINE="1")
        assert (
            f"the copy of model '{SDXL}' on this machine lacks vae/*.safetensors, which could not be downloaded "
            f"(HF_HUB_OFFLINE is set); run `hf download {SDXL} --include 'vae/*.safetensors'` where there is a network"
        ) in offline.stderr
        folder = Path(find(SDXL, tmp_path, hub).stdout.strip())
        assert set(files_below(folder)) == set(files) - set(DECOYS)
        assert find(SDXL, tmp_path, hub, HF_HUB_OFFLINE="1").stdout.strip() == str(folder)


def test_a_copy_whose_link_leads_nowhere_is_completed(tmp_path: Path) -> None:
    files = {"config.json": b'{"model_type": "clip"}', "merges.txt": b"a b", "model.safetensors": b"weights"}
    with serve(Hub({NAME: {"main": files}})) as hub:
        folder = Path(find(NAME, tmp_path, hub).stdout.strip())
        (folder / "merges.txt").resolve().unlink()
        assert "lacks merges.txt, which" in find(NAME, tmp_path, hub, HF_HUB_OFFLINE="1").stderr
        assert find(NAME, tmp_path, hub).stdout.strip() == str(folder)
        assert files_below(folder) == files


def test_a_repository_that_lacks_something_itself_is_refused(tmp_path: Path) -> None:
    with serve(Hub({NAME: {"main": {"config.json": b'{"model_type": "clip"}', "tf_model.h5": b""}}})) as hub:
        assert f"model '{NAME}' lacks *.safetensors on the hub, too" in find(NAME, tmp_path, hub).stderr

"""The revisions of a run's base and image encoder: recorded, used again, checked."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from bolid_data import hub as hub_names
from bolid_data.errors import BolidError
from bolid_data.manifest import Manifest
from bolid_train.diffusion.base import Base
from bolid_train.inference.generate import Request, generate
from bolid_train.methods import adapter, registry
from tests.support.drawn_shards import write_manifest
from tests.support.hub import Hub, commit, serve, visit
from tests.support.small_base import small_base

SDXL, ENCODER = "somebody/sdxl", "somebody/encoder"
OLD, NEW = commit("main"), commit("new")


def files_below(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def hub() -> Iterator[Hub]:
    base = files_below(small_base())
    with serve(Hub({SDXL: {"main": base}, ENCODER: {"main": files_below(small_base() / "image_encoder")}})) as hub:
        yield hub


def change_base(hub: Hub) -> None:
    """The owner of the base puts another UNet into its branch `main`; the first commit can still be had."""
    old = hub.models[SDXL]["main"]
    file = "unet/diffusion_pytorch_model.safetensors"
    unet = {name: value * 1.1 for name, value in load(old[file]).items()}
    hub.models[SDXL] = {"main": old | {file: save(unet, {"format": "pt"})}, OLD: old}
    hub.heads = {"main": NEW}


def publish(folder: Path, settings: Manifest) -> adapter.Adapter:
    """A finished run of random weights."""
    torch.manual_seed(0)
    base = Base.resolve(settings.train, folder)
    method = registry.resolve("bolid").make(settings.train, base)
    method.install(base.unet(torch.device("cpu")), base)
    run = folder / "runs" / "bolid"
    run.mkdir(parents=True)
    return adapter.publish(run, method, settings.train, base, 0, [], folder)


def image(folder: Path, settings: Manifest, name: str) -> np.ndarray:
    generate(folder, settings, Request("a person in red", folder / name, seed=3, steps=2))
    return np.asarray(Image.open(folder / name), dtype=np.int16)


def test_a_run_keeps_its_base_when_the_repository_changes(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path / "here", monkeypatch)
    settings = write_manifest(tmp_path, base=SDXL)
    made = publish(tmp_path, settings)
    assert made.revisions == {"base": OLD}
    before = image(tmp_path, settings, "before.png")
    change_base(hub)
    visit(hub, tmp_path / "another machine", monkeypatch)
    assert np.array_equal(image(tmp_path, settings, "after.png"), before)
    assert [path for path, _ in hub.requests if NEW in path] == [], "the changed base is not downloaded"
    chosen = write_manifest(tmp_path, base=f"{SDXL}@main")
    assert not np.array_equal(image(tmp_path, chosen, "chosen.png"), before)


def test_an_image_encoder_of_the_hub_is_recorded_beside_the_base(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path, monkeypatch)
    settings = write_manifest(tmp_path, image_encoder=ENCODER)
    made = publish(tmp_path, settings)
    assert made.revisions == {"image_encoder": OLD}
    assert json.loads((tmp_path / "runs" / "bolid" / "adapter.json").read_text())["revisions"] == made.revisions
    pinned = adapter.pinned(made, settings).train_settings(tmp_path)
    assert (pinned.base, pinned.image_encoder) == (str(small_base()), f"{ENCODER}@{OLD}")
    adapter.refuse_untrusted_models(pinned, settings, tmp_path)


@pytest.mark.parametrize(
    ("in_run", "in_manifest", "used"),
    [
        (SDXL, SDXL, f"{SDXL}@{OLD}"),
        (f"{SDXL}@v1", f"{SDXL}@v1", f"{SDXL}@{OLD}"),
        (SDXL, "another/base", f"{SDXL}@{OLD}"),
        (SDXL, f"{SDXL}@v2", f"{SDXL}@v2"),
    ],
)
def test_the_manifest_may_name_another_revision(
    in_run: str, in_manifest: str, used: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path, monkeypatch)
    made = publish(tmp_path, write_manifest(tmp_path, base=SDXL))
    made = replace(made, settings=made.settings | {"base": in_run})
    settings = write_manifest(tmp_path, base=in_manifest)
    assert adapter.pinned(made, settings).settings["base"] == used


def test_a_run_of_an_older_version_follows_the_repository(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path, monkeypatch)
    settings = write_manifest(tmp_path, base=SDXL)
    publish(tmp_path, settings)
    file = tmp_path / "runs" / "bolid" / "adapter.json"
    content = json.loads(file.read_text())
    del content["revisions"]
    file.write_text(json.dumps(content))
    read = adapter.read(file.parent)
    assert adapter.pinned(read, settings) == read


@pytest.mark.parametrize(
    ("revisions", "place"),
    [
        ({"base": "main"}, "revisions.base"),
        ({"base": f"../../{OLD}"}, "revisions.base"),
        ({"unet": OLD}, "revisions.unet"),
        ([OLD], "revisions"),
    ],
)
def test_revisions_that_no_run_records_are_refused(
    revisions: object, place: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path, monkeypatch)
    publish(tmp_path, write_manifest(tmp_path, base=SDXL))
    file = tmp_path / "runs" / "bolid" / "adapter.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"revisions": revisions}))
    with pytest.raises(BolidError, match=rf"adapter\.json: {place}"):
        adapter.read(file.parent)


def test_a_commit_of_a_repository_that_the_manifest_does_not_name_is_not_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path / "here", monkeypatch)
    made = publish(tmp_path, write_manifest(tmp_path, base=SDXL))
    assert hub_names.cached(SDXL)
    visit(hub, tmp_path / "another machine", monkeypatch)
    requests = len(hub.requests)
    assert made.revisions
    with pytest.raises(BolidError, match=rf"was made on base '{SDXL}@{OLD}', which the manifest does not name"):
        image(tmp_path, write_manifest(tmp_path), "out.png")
    assert len(hub.requests) == requests


def test_a_face_encoder_that_the_manifest_does_not_name_is_not_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(hub, tmp_path, monkeypatch)
    path = tmp_path / "adapter.json"

    def settings(encoder: str) -> Manifest:
        return write_manifest(tmp_path, method="ip-adapter", ip_adapter={"layout": "face-id", "face_encoder": encoder})

    made = settings("somebody/faces/glintr100.onnx").train
    adapter.refuse_untrusted_models(made, settings("somebody/faces/glintr100.onnx"), path)
    for name in ("somebody/faces/glintr100.onnx", "../glintr100.onnx", "nowhere.onnx"):
        made = settings(name).train
        with pytest.raises(BolidError, match=rf"face_encoder '{name}'.*set \[train\.ip-adapter\] face_encoder = "):
            adapter.refuse_untrusted_models(made, settings("glintr100.onnx"), path)
    (tmp_path / "beside.onnx").write_bytes(b"network")
    adapter.refuse_untrusted_models(settings("beside.onnx").train, settings("glintr100.onnx"), path)
    assert hub.requests == []

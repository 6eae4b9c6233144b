"""What tests of training share: a dataset of drawn people, and a run on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bolid_data.manifest import Manifest
from bolid_train.training.trainer import train
from tests.support.drawn_shards import drawn_people, write_manifest, write_shards


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and threads that spin take the machine from its other work."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test draws the same numbers in every run, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset's folder with three people in `train` (one with a single photo) and one in `test`; do not
    change it."""
    folder = tmp_path_factory.mktemp("dataset")
    people = drawn_people({"anna": 4, "boris": 3, "clara": 1}) | drawn_people({"daria": 2}, "test")
    write_shards(folder / "shards", people)
    return folder


@pytest.fixture(scope="session")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A dataset's folder with a run `bolid` of ten steps, and its manifest; do not change it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(dataset / "shards", folder / "shards")
    settings = write_manifest(folder)
    train(settings, folder, steps=10)
    return folder, settings


@pytest.fixture
def bucket(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The shards in a local server that speaks S3, and the requests for photos it was sent (headers by name)."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed (bolid[dev])")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (bolid[s3])")
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("ENDPOINT_URL", f"http://{host}:{port}")):
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    store.mkdir("photos")
    store.put(str(dataset / "shards"), "photos/demo/shards", recursive=True)
    sent: list[dict[str, Any]] = []

    def remember(model: Any, params: dict[str, Any], **_: Any) -> None:
        sent.append({"path": params["url"], **params["headers"]})

    store.s3.meta.events.register("before-call.s3.GetObject", remember)
    yield "s3://photos/demo/shards", sent
    store.rm("photos", recursive=True)  # servers of one process have the same buckets
    server.stop()

"""A reviewed dataset, its server, and a browser."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bolid_data import manifest as manifests
from bolid_data.dataset import Dataset
from bolid_data.review.manifest_file import ManifestFile
from bolid_data.review.server import application
from bolid_data.review.session import Session
from tests.support.measured_dataset import World, jpeg

uvicorn = pytest.importorskip("uvicorn", reason="the extra `review` is not installed")

TOKEN = "a-token-of-a-test"
MANIFEST = """# a dataset of tests
name = "mine"
[source]
kind = "folder"
path = "photos"
[filter]  # thresholds
max_watermark = 0.5  # of the model
min_photos_per_person = 1
"""


class Served:
    """A server in a thread."""

    def __init__(self, manifest: Path, dataset: Dataset, packaged: bool = False) -> None:
        self.session = Session(ManifestFile(manifest, manifests.load, packaged), dataset)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.address = f"{self.origin}/?token={TOKEN}"
        app = application(self.session, TOKEN, self.port)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> "Served":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "m.toml").write_text(MANIFEST)
    return tmp_path


@pytest.fixture
def world(home: Path) -> World:
    """Anna with four photos, of which one is watermarked, and Berta with two; captioned, and judged."""
    world = World(home / "data")
    photos = [world.photo("anna", data=jpeg(i), watermark=0.9 if i == 3 else 0.1 * i) for i in range(4)]
    photos += [world.photo("berta", data=jpeg(i)) for i in (4, 5)]
    world.judge(manifests.load(home / "m.toml").filter)
    captions = {sha256: f"a red dress, photo {i}" for i, sha256 in enumerate(photos)}
    world.dataset.catalog.captions.choose("", "")
    world.dataset.catalog.captions.write(captions, "")
    return world


@pytest.fixture
def served(home: Path, world: World) -> Iterator[Served]:
    with Served(home / "m.toml", world.dataset) as served:
        yield served


@pytest.fixture(scope="module")  # no longer: Playwright leaves an event loop running in this thread
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((path for name in names if (path := shutil.which(name))), None)
    if chromium is None:
        pytest.skip(f"no Chromium on this machine: none of {', '.join(names)}")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """The page of `served`; a test fails for any error in its console."""
    with opened(browser, served.address) as page:
        yield page


class opened:  # noqa: N801
    def __init__(self, browser: Any, address: str, width: int = 1440, height: int = 900) -> None:
        self._context = browser.new_context(viewport={"width": width, "height": height})
        self._address, self._errors = address, list[str]()

    def __enter__(self) -> Any:
        page = self._context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("console", lambda m: self._errors.append(m.text) if "Content Security" in m.text else None)
        page.on("dialog", lambda dialog: (self._errors.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(self._address)
        page.wait_for_selector("body[data-ready]")
        return page

    def __exit__(self, kind: object, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self._errors == []

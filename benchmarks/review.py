"""`bolid review` of 50,000 photos, as a process of its own, while `bolid scrape` collects more into the same folder.

The measurements are random and the thumbnails are there already, as after a first look; how many are made in a second
is a row of its own, of photos of 1200×1600. Where there is a Chromium, the page itself is timed in it.
"""

import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks import ledger
from bolid_data.curate import judge
from bolid_data.dataset import Dataset
from bolid_data.gallery import draw_gallery, serve_gallery
from bolid_data.manifest import Filter
from bolid_data.review.thumbnails import Thumbnails
from bolid_data.weights import file_sha256

PHOTOS, EACH = 50_000, 250
PAGES = 60
LIMITS = {"first grid": 1.0, "page": 0.3}  # seconds
MEMORY_LIMIT = 500  # MB, resident
MADE = 120  # thumbnails
MANIFEST = """
name = "review"
[source]
kind = "theplace"
base_url = "{}"
min_photos = 1
delay = 0.3
[filter]
min_photos_per_person = 3
"""


def table(work: Path) -> str:
    """First alone, then beside a crawl."""
    dataset = Dataset(work / "data")
    judge.judge(ledger.build(dataset.catalog.path, PHOTOS, EACH), Filter(min_photos_per_person=3), ledger.MODELS)
    _write_thumbnails(dataset)
    lines = [f"| of {PHOTOS:,} photos | alone | while `scrape` runs | limit |", "| --- | ---: | ---: | ---: |"]
    with serve_gallery(draw_gallery(seed=31)) as site:
        manifest = work / "review.toml"
        manifest.write_text(MANIFEST.format(site.base_url))
        with _served(manifest, dataset.root) as (address, process):
            alone = _times(address)
            decision = _decisions(address)
            with _running("scrape", manifest, dataset.root) as crawl:
                time.sleep(3)
                beside = _times(address)
                ran = crawl.poll() is None
            resident = _peak(process.pid)
    for what in alone:
        limit = LIMITS.get(what.partition(",")[0])
        lines.append(f"| {what} | {alone[what]:.3f} s | {beside[what]:.3f} s | {f'{limit} s' if limit else ''} |")
    lines.append(f"| a decision, with judging again | {decision:.2f} s | waits for the crawl | |")
    lines.append(f"| peak resident memory of the server | | {resident:.0f} MB | {MEMORY_LIMIT} MB |")
    lines += ["", f"The crawl {'ran all the while' if ran else 'had ended before the last measurement'}. {_made(work)}"]
    return "\n".join(lines)


def _write_thumbnails(dataset: Dataset) -> None:
    """One picture for all photos, under a name for each."""
    out = io.BytesIO()
    Image.effect_noise((216, 288), 60).convert("RGB").save(out, "WEBP")
    with dataset.catalog.open(read_only=True) as con:
        sha256s = [sha256 for (sha256,) in con.execute("SELECT sha256 FROM photos").fetchall()]
    original = dataset.root / "thumbnail.webp"
    original.write_bytes(out.getvalue())
    for sha256 in sha256s:
        file = dataset.store.thumbnail(sha256)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, file)


def _times(address: str) -> dict[str, float]:
    """Medians of the first grid, the slowest and the median page, and the page in a browser."""
    host, token = address.split("/?token=")
    with httpx.Client(base_url=host, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        first, view = [], ""
        for _ in range(5):
            began = time.perf_counter()
            answer = client.get("/api/view").json()
            first.append(time.perf_counter() - began)
            view = answer["view"]
        pages = []
        for place in np.random.default_rng(0).integers(0, answer["total"], PAGES):
            began = time.perf_counter()
            photos = client.get(f"/api/view/{view}", params={"start": int(place)}).json()["photos"]
            for photo in photos[:24]:
                client.get(f"/thumbnail/{photo['sha256']}").raise_for_status()
            pages.append(time.perf_counter() - began)
    times = {
        "first grid, its query": statistics.median(first),
        "page, 200 photos and 24 thumbnails one after the other": statistics.median(pages),
        f"page, the slowest of {PAGES}": max(pages),
    }
    return times | _in_browser(address)


def _in_browser(address: str) -> dict[str, float]:
    chromium = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    drawn = "[...document.querySelectorAll('.tile[aria-label] img')].filter(i => i.naturalWidth).length >= 12"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        page.goto(address)
        _until(lambda: page.evaluate("document.querySelectorAll('.tile[aria-label]').length > 12"))
        first = time.perf_counter() - began
        _until(lambda: page.evaluate(drawn))
        jumps = []
        for share in (0.5, 0.9, 0.2, 0.7, 1.0):
            page.evaluate(
                f"(() => {{const e = document.querySelector('.scroller'); e.scrollTop = e.scrollHeight * {share}}})()"
            )
            began = time.perf_counter()
            page.wait_for_timeout(1)
            _until(lambda: page.evaluate("document.querySelectorAll('.tile[aria-label]').length > 12"))
            jumps.append(time.perf_counter() - began)
        browser.close()
    return {
        "first grid, in Chromium from opening the address": first,
        "page after a jump, in Chromium": statistics.median(jumps),
    }


def _decisions(address: str) -> float:
    host, token = address.split("/?token=")
    headers = {"authorization": f"Bearer {token}", "origin": host}
    with httpx.Client(base_url=host, headers=headers, timeout=60) as client:
        photos = client.get("/api/view").json()["photos"]
        taken = []
        for number, photo in enumerate(photos[:6]):
            body = {"id": f"decision-{number}", "what": "reject", "photos": [photo["sha256"]]}
            began = time.perf_counter()
            client.post("/api/decide", json=body).raise_for_status()
            taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def _made(work: Path) -> str:
    """How many thumbnails are made in a second, in two threads."""
    import asyncio

    dataset = Dataset(work / "made")
    sha256s = []
    for seed in range(MADE):
        rough = np.random.default_rng(seed).integers(0, 255, (60, 45, 3), dtype=np.uint8)
        file = work / f"{seed}.jpg"
        Image.fromarray(rough).resize((1200, 1600), Image.Resampling.BICUBIC).save(file, quality=90)
        sha256s.append(file_sha256(file))
        dataset.store.add(file, sha256s[-1], "jpg")

    async def make() -> float:
        thumbnails = Thumbnails(dataset.store, lambda: "white")
        began = time.perf_counter()
        await asyncio.gather(*map(thumbnails.thumbnail, sha256s))
        return time.perf_counter() - began

    return f"{MADE / asyncio.run(make()):.0f} thumbnails of photos of 1200×1600 are made in a second."


@contextmanager
def _served(manifest: Path, data: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with _running("review", manifest, data, "--json", stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield json.loads(process.stdout.readline())["address"], process


@contextmanager
def _running(
    command: str, manifest: Path, data: Path, *options: str, stdout: int = subprocess.DEVNULL
) -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bolid", command, str(manifest), "--data", str(data), *options],
        stdout=stdout, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _peak(pid: int) -> float:
    """The peak resident memory of a process, in MB."""
    [kibibytes] = re.findall(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kibibytes) * 1024 / 1e6


def _until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)

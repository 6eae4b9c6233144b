"""The whole way on a small gallery with the real models: what is kept, and what a kill costs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bolid_data.dataset import Dataset
from bolid_data.gallery import Site, draw_gallery, serve_gallery
from tests.support.judged_gallery import judge_gallery

MANIFEST = """
name = "whole"
[source]
kind = "theplace"
base_url = "{}"
min_photos = 1
delay = 0.0
concurrency = 2
[filter]
min_photos_per_person = 2
[shards]
max_size = "4MB"
splits = {{ train = 0.5, val = 0.5 }}
"""
MOMENTS = (0.2, 0.6, 0.85)
"""When a run is killed, as shares of the time an uninterrupted one takes."""


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run: its dataset, the site it came from, and the seconds it took."""

    dataset: Dataset
    manifest: Path
    site: Site
    seconds: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    with serve_gallery(draw_gallery(2, 6, seed=977)) as site:
        manifest = folder / "m.toml"
        manifest.write_text(MANIFEST.format(site.base_url))
        began = time.monotonic()
        assert start(manifest, folder / "data").wait() == 0
        yield Whole(Dataset(folder / "data"), manifest, site, time.monotonic() - began)


def start(manifest: Path, data: Path, command: str = "dataset") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "bolid", command, str(manifest), "--data", str(data)])


def contents(dataset: Dataset) -> dict[str, Any]:
    """All a dataset says, but the times and the order in which models were written down."""
    with dataset.catalog.open(read_only=True) as con:
        tables = {
            table: sorted(map(repr, con.execute(f"SELECT {columns} FROM {table}").fetchall()))
            for table, columns in {
                "people": "*",
                "photos": "*",
                "sightings": "* EXCLUDE fetched_at",
                "measured": "*",
                "undecodable": "*",
                "detections": "*",
                "watermarks": "*",
                "hashes": "*",
                "verdicts": "*",
                "captions": "*",
            }.items()
        }
    return tables | {path.name: path.read_bytes() for path in [*dataset.shards.glob("*.tar"), dataset.lock]}


def test_every_photo_gets_the_verdict_it_should(tmp_path: Path) -> None:
    judged = judge_gallery(people=2, photos=8, seed=31337, work=tmp_path)
    wrong = [(p.truth["kind"], p.reasons) for p in judged if not p.right]
    # The watermark model's card says how often it is wrong about a clean photo.
    assert wrong in ([], [("clean", ["watermarked"])])
    assert {p.truth["kind"] for p in judged if p.reasons} >= {"small", "nobody", "two_people", "watermark_text"}
    errors = sorted(error for p in judged if p.truth["kind"] == "clean" for error in p.errors)
    assert errors[len(errors) // 2] < 0.05, "the pose model finds the joints where they were drawn"


def test_the_dataset_is_whole(whole: Whole) -> None:
    assert start(whole.manifest, whole.dataset.root, "verify").wait() == 0
    lock = json.loads(whole.dataset.lock.read_text())
    assert sum(entry["samples"] for entry in lock["shards"]) >= 8
    assert {entry["split"] for entry in lock["shards"]} <= {"train", "val"}


def test_a_second_run_changes_nothing_and_fetches_no_photo(whole: Whole) -> None:
    before, asked = contents(whole.dataset), len(photos_sent(whole.site))
    assert start(whole.manifest, whole.dataset.root).wait() == 0
    assert contents(whole.dataset) == before
    assert len(photos_sent(whole.site)) == asked


@pytest.mark.slow
def test_killed_at_any_moment_it_gives_the_same_dataset(whole: Whole, tmp_path: Path) -> None:
    dataset, asked = Dataset(tmp_path / "data"), len(photos_sent(whole.site))
    for moment in MOMENTS:
        process = start(whole.manifest, dataset.root)
        time.sleep(moment * whole.seconds)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(whole.manifest, dataset.root).wait() == 0
    assert contents(dataset) == contents(whole.dataset)
    sent = photos_sent(whole.site)[asked:]
    # A download that a kill cut off is asked for again; one that was whole is not.
    assert len(sent) - len(set(sent)) <= len(MOMENTS) * 2


def photos_sent(site: Site) -> list[str]:
    return [path for path, status, _ in site.requests if path.startswith("/archive/") and status == 200]

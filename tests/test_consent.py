"""An opt-out, a deleted photo and a rejection reach all that was built: by the command line, with real models."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from bolid_data.dataset import Dataset
from bolid_data.shard_index import ShardIndex
from tests.bolid_data.shards.test_forget import mentions
from tests.support import commands
from tests.support.clean_photos import clean_photos
from tests.support.commands import Done
from tests.support.gallery_site import Site, serve

PEOPLE, PHOTOS = ("anna", "berta"), 4
MANIFEST = """
name = "mine"
[source]
{source}
[filter]
min_photos_per_person = 1
max_watermark = 1.0
[shards]
splits = {{ train = 1.0 }}
[train]
method = "ip-adapter"
batch_size = 1
views = 2
"""


@pytest.fixture(scope="module")
def photos() -> dict[str, list[bytes]]:
    return dict(zip(PEOPLE, clean_photos(len(PEOPLE), PHOTOS), strict=True))


@pytest.fixture(scope="module")
def built(photos: dict[str, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Site]]:
    """A crawled dataset with shards, features, a finished run and an evaluation."""
    home = tmp_path_factory.mktemp("built")
    with serve(Site({person: list(own) for person, own in photos.items()}, per_page=10)) as site:
        source = f'kind = "theplace"\nbase_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0'
        (home / "m.toml").write_text(MANIFEST.format(source=source))
        build(home)
        yield home, site


def build(home: Path) -> None:
    assert bolid("dataset", home).returncode == 0
    assert bolid("train", home, "--steps", "2").returncode == 0
    (home / "data" / "evaluation").mkdir()
    (home / "data" / "evaluation" / "grid.png").write_bytes(b"pictures of anybody")


def bolid(command: str, home: Path, *options: str) -> Done:
    return commands.bolid(command, "m.toml", *options, "--data", "data", cwd=home)


def stale(home: Path) -> dict[str, Any]:
    return json.loads(bolid("status", home, "--json").stdout)["stale"]


def shard_photos(home: Path) -> set[str]:
    return {row["sha256"] for row in ShardIndex(home / "data" / "shards" / "index.duckdb").samples()}


@pytest.fixture
def copy(built: tuple[Path, Site], tmp_path: Path) -> tuple[Path, Site]:
    home, site = built
    shutil.copytree(home, tmp_path / "home")
    return tmp_path / "home", site


def opted_out(site: Site, person: str, number: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=site.people[person][number], headers={"X-Robots-Tag": "noai"})

    site.faults[f"/archive/{person}/img/{number}.jpg"] = answer


def test_an_opt_out_after_everything_was_built_reaches_everything(
    copy: tuple[Path, Site], photos: dict[str, list[bytes]]
) -> None:
    home, site = copy
    data, photo = home / "data", photos["anna"][0]
    assert any("a photo's bytes" in found for found in mentions(data, "-", "-", [photo])), "the search finds it"
    assert stale(home) == {"photos": 0, "reasons": {}, "shards": [], "features": [], "runs": []}
    opted_out(site, "anna", 0)
    try:
        again = bolid("scrape", home, "--recheck-consent", "--json")
    finally:
        site.faults.clear()
    assert json.loads(again.stdout)["opted_out"] == 1

    # At once, before anything else runs: the photo's file is gone, and all that was made of it is named.
    assert not any("photos/" in found for found in mentions(data, "-", "-", [photo]) if "bytes" in found)
    found = stale(home)
    assert (found["photos"], found["reasons"]) == (1, {"opted_out": 1})
    assert found["shards"] == ["train-000000.tar"]
    assert found["features"] and all(folder.endswith("/anna") for folder in found["features"])
    assert found["runs"] == ["ip-adapter"]
    text = bolid("status", home).stdout
    assert "stale: 1 photo in shards/train-000000.tar" in text
    assert "stale runs, trained on what was withdrawn: ip-adapter" in text
    checked = bolid("verify", home, "--json")
    assert checked.returncode == 1
    problems = {entry["file"]: entry["problem"] for entry in json.loads(checked.stdout)["problems"]}
    assert problems.pop("shards/train-000000.tar") == "stale"
    assert list(problems.values()) == ["stale"], "the photo's own file"
    refused = bolid("train", home, "--steps", "1", "--run", "next")
    assert refused.returncode == 1
    assert "stale: 1 photo in them was withdrawn since (1 opted out)" in refused.stderr
    assert not (data / "runs" / "next").exists()
    assert bolid("train", home, "--steps", "1", "--run", "next", "--allow-stale").returncode == 0

    # `dataset` leaves it out everywhere.
    assert bolid("dataset", home).returncode == 0
    assert [found for found in mentions(data, "-", "-", [photo]) if "bytes" in found] == []
    assert not list(data.glob("features/*/anna")) and not (data / "evaluation").exists()
    assert len(shard_photos(home)) == sum(map(len, photos.values())) - 1
    found = stale(home)
    assert (found["photos"], found["shards"], found["features"]) == (0, [], [])
    assert found["runs"] == ["ip-adapter", "next"], "what a run has learnt stays stale"
    checked = bolid("verify", home, "--json")
    assert (checked.returncode, json.loads(checked.stdout)["stale_runs"]) == (0, ["ip-adapter", "next"])
    assert bolid("train", home, "--steps", "1", "--run", "clean").returncode == 0
    assert "clean" not in stale(home)["runs"]


def test_a_lost_catalog_brings_no_opt_out_back(copy: tuple[Path, Site], photos: dict[str, list[bytes]]) -> None:
    home, site = copy
    opted_out(site, "anna", 0)
    bolid("scrape", home, "--recheck-consent")
    site.faults.clear()  # and the owner says nothing any more
    (home / "data" / "catalog.duckdb").unlink()
    before = len(site.requests)
    found = json.loads(bolid("scrape", home, "--json").stdout)
    assert (found["reasons"], found["new"]) == ({"opted_out": 1}, 0)
    assert "/archive/anna/img/0.jpg" not in site.requests[before:]
    assert stale(home)["reasons"] == {"opted_out": 1}, "and the shards of before are still stale"
    site.people["anna"].append(photos["anna"][0])  # the same bytes at another address
    try:
        assert json.loads(bolid("scrape", home, "--json").stdout)["reasons"]["opted_out"] == 1
    finally:
        site.people["anna"].pop()
    assert len(list(Dataset(home / "data").store.files())) == sum(map(len, photos.values())) - 1


def test_a_persons_page_that_opts_out_takes_their_photos_out(copy: tuple[Path, Site]) -> None:
    home, site = copy

    async def page(request: web.Request) -> web.StreamResponse:
        answer = site.person("berta", 1)
        answer.headers["X-Robots-Tag"] = "noai"
        return answer

    site.faults["/photos/berta/"] = page
    try:
        assert json.loads(bolid("scrape", home, "--json").stdout)["opted_out"] == PHOTOS
    finally:
        site.faults.clear()
    found = stale(home)
    assert found["reasons"] == {"opted_out": PHOTOS}
    assert len(list(Dataset(home / "data").store.files())) == PHOTOS


@pytest.fixture(scope="module")
def built_of_folder(photos: dict[str, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("folder")
    for person, files in photos.items():
        (home / "photos" / person).mkdir(parents=True)
        for number, data in enumerate(files):
            (home / "photos" / person / f"{number}.jpg").write_bytes(data)
    (home / "m.toml").write_text(MANIFEST.format(source='kind = "folder"\npath = "photos"'))
    build(home)
    return home


@pytest.fixture
def own(built_of_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(built_of_folder, tmp_path / "home")
    return tmp_path / "home"


def test_a_photo_deleted_from_the_folder_or_rejected_is_out_and_what_was_made_of_it_is_stale(own: Path) -> None:
    dataset = Dataset(own / "data")
    lost, rejected = sorted(row["sha256"] for row in ShardIndex(dataset.index).samples() if row["person"] == "anna")[:2]
    next(file for file in (own / "photos" / "anna").iterdir() if file.read_bytes() == read(dataset, lost)).unlink()
    assert json.loads(bolid("scrape", own, "--json").stdout)["gone"] == 1
    assert stale(own)["reasons"] == {"gone": 1}
    dataset.catalog.decisions.decide("reject", [("anna", rejected)], "me", "not me")
    found = stale(own)
    assert (found["reasons"], found["runs"]) == ({"gone": 1, "rejected": 1}, ["ip-adapter"])
    verdicts = verdicts_of(dataset)
    assert (verdicts[lost], verdicts[rejected]) == (["gone"], ["rejected"]), "at once, without `filter`"
    assert bolid("verify", own).returncode == 1
    assert bolid("train", own, "--steps", "1", "--run", "next").returncode == 1
    assert bolid("dataset", own).returncode == 0
    assert shard_photos(own).isdisjoint({lost, rejected})
    assert verdicts_of(dataset)[lost] == ["gone"]
    assert (own / "data" / "evaluation").exists(), "nobody opted out, so pictures stay"
    assert bolid("verify", own).returncode == 0
    (own / "photos" / "anna" / "back.jpg").write_bytes(read(dataset, lost))
    assert bolid("dataset", own).returncode == 0
    assert lost in shard_photos(own)


def test_a_photo_whose_file_was_overwritten_is_out_and_what_was_made_of_it_is_stale(
    own: Path, photos: dict[str, list[bytes]]
) -> None:
    file = own / "photos" / "anna" / "0.jpg"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    with Image.open(file) as photo:
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file, quality=95)
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    assert stale(own)["photos"] == 0, "nobody has looked yet"
    found = json.loads(bolid("scrape", own, "--json").stdout)
    assert (found["new"], found["gone"]) == (1, 1)
    assert (stale(own)["reasons"], stale(own)["runs"]) == ({"gone": 1}, ["ip-adapter"])
    assert bolid("verify", own).returncode == 1
    assert bolid("dataset", own).returncode == 0
    assert before not in shard_photos(own) and after in shard_photos(own)
    assert bolid("verify", own).returncode == 0


def test_where_all_photos_were_withdrawn_no_shards_stay(own: Path) -> None:
    dataset = Dataset(own / "data")
    for row in list(ShardIndex(dataset.index).samples()):
        dataset.catalog.decisions.decide("reject", [(row["person"], row["sha256"])], "me", "none of these")
    assert "no photo is kept" in bolid("dataset", own).stderr
    assert not dataset.shards.exists() and not dataset.lock.exists()
    assert not list(dataset.root.glob("features/*/*/*.safetensors"))


def everything(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and path.name != ".working")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_forget_leaves_nothing_of_a_person_that_a_finished_run_was_trained_on(
    own: Path, photos: dict[str, list[bytes]]
) -> None:
    data = own / "data"
    (data / "catalog.duckdb.tmp").mkdir()
    (data / "catalog.duckdb.tmp" / "duckdb_temp_storage-0.tmp").write_bytes(b"anna" + photos["anna"][0])
    for part in (".measurements.parquet.part", "runs/ip-adapter/.adapter.json.part"):
        (data / part).write_bytes(b"anna")
    assert list(data.glob("runs/ip-adapter/tensorboard/*")) and list(data.glob("runs/ip-adapter/checkpoints/*"))
    assert len(mentions(data, "anna", "Anna", photos["anna"])) > 20
    before = everything(data)

    refused = bolid("forget", own, "anna")
    assert refused.returncode == 2 and "without a terminal, it needs --yes" in refused.stderr
    told_no = on_a_terminal(own, "n\n")
    assert told_no == 1
    assert everything(data) == before, "neither has changed a byte"

    done = bolid("forget", own, "anna", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"] == [{"run": "ip-adapter", "trained": True}]
    assert mentions(data, "anna", "Anna", photos["anna"]) == []
    assert {path.name for path in data.glob(".*")} <= {".working"} and not (data / "evaluation").exists()
    assert stale(own)["runs"] == ["ip-adapter"]
    assert bolid("verify", own).returncode == 0
    assert on_a_terminal(own, "") == 0, "who was forgotten is not asked about again"


def on_a_terminal(home: Path, answer: str) -> int:
    """The exit code of `forget anna` with a terminal that somebody types at."""
    controller, terminal = os.openpty()
    line = [sys.executable, "-m", "bolid", "forget", "m.toml", "anna", "--data", "data"]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    os.write(controller, answer.encode())
    process = subprocess.Popen(line, cwd=home, env=environment, stdin=terminal, stdout=subprocess.DEVNULL)
    try:
        return process.wait(60)
    finally:
        os.close(terminal)
        os.close(controller)


def read(dataset: Dataset, sha256: str) -> bytes:
    return dataset.store.find(sha256).read_bytes()


def verdicts_of(dataset: Dataset) -> dict[str, list[str]]:
    with dataset.catalog.open(read_only=True) as con:
        return dict(con.execute("SELECT sha256, reasons FROM verdicts").fetchall())

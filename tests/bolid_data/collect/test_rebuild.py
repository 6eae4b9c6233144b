"""`bolid rebuild`: somebody's lock and an empty folder."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from aiohttp import web

from bolid_data import manifest as manifests
from bolid_data.catalog import Catalog
from bolid_data.collect.rebuild import Options, fetch_locked
from bolid_data.curate.judge import explain, judge
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.gallery import Site as GallerySite
from bolid_data.gallery import draw_gallery, serve_gallery
from bolid_data.lockfile import lock_digest, read_lock
from bolid_data.manifest import Filter
from bolid_data.records import Sighting
from bolid_data.report.show import status
from bolid_data.shards.lock import verify
from bolid_data.shards.rebuild import rebuild_shards
from bolid_data.shards.write import shard
from tests.support.gallery_site import Handler, Site, serve
from tests.support.measured_dataset import CAPTIONER, MODELS, World, jpeg

GALLERY = """
name = "whole"
[source]
kind = "theplace"
base_url = "{}"
contact = "mailto:somebody@example.org"
min_photos = 1
delay = 0.0
[filter]
min_photos_per_person = 2
[shards]
max_size = "1MB"
splits = {{ train = 0.5, val = 0.5 }}
"""
LIST = '[source]\nkind = "urls"\npath = "urls.csv"\n'
EVERYTHING = Filter(min_photos_per_person=1)


@dataclass(frozen=True)
class CrawledGallery:
    """A dataset that was collected from a drawn gallery and measured by the real models."""

    dataset: Dataset
    folder: Path  # the gallery's
    site: GallerySite


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrawledGallery]:
    work, folder = tmp_path_factory.mktemp("whole"), draw_gallery(2, 6, seed=977)
    with serve_gallery(folder) as site:
        (work / "m.toml").write_text(GALLERY.format(site.base_url))
        assert bolid("dataset", work / "m.toml", "--data", work / "data").returncode == 0
        yield CrawledGallery(Dataset(work / "data"), folder, site)


def bolid(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bolid", *map(str, arguments)], capture_output=True, text=True)


def command(lock: Path, data: Path, base_url: str, delay: float = 0.0) -> list[str]:
    options = ["--data", str(data), "--base-url", base_url, "--delay", str(delay), "--json"]
    return [sys.executable, "-m", "bolid", "rebuild", str(lock), *options]


def rebuild(lock: Path, data: Path, options: Options) -> dict[str, Any]:
    locked, dataset = read_lock(lock), Dataset(data)
    with dataset.working():
        return {**fetch_locked(locked, dataset, options), **rebuild_shards(locked, dataset)}


def urls(report: dict[str, Any], kind: str) -> set[str]:
    return {entry["url"] for entry in report[kind]}


def photos_sent(site: GallerySite) -> list[str]:
    return [path for path, status, _ in site.requests if path.startswith("/archive/") and status == 200]


def read(lock: Path) -> dict[str, Any]:
    return json.loads(lock.read_text())


def rewritten(lock: Path, to: Path, **changes: Any) -> Path:
    """A lock that says other things under a sha256 that is right; what is changed to None is left out."""
    content = {key: value for key, value in (read(lock) | changes).items() if value is not None and key != "sha256"}
    to.mkdir(parents=True)
    shutil.copy(lock.parent / "measurements.parquet", to)
    (to / lock.name).write_text(json.dumps(content | {"sha256": lock_digest(content)}))
    return to / lock.name


def answering(status: int = 200, body: bytes | None = None, html: str | None = None, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if html is not None:
            return web.Response(text=html, content_type="text/html")
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


class Listed:
    """A dataset of plain photos at https://a.example, and a site that serves them."""

    def __init__(self, folder: Path, photos: int = 3) -> None:
        self.world = World(folder / "original")
        self.site = Site({})
        self.photos: list[str] = []
        for i in range(photos):
            self.add(jpeg(i))

    def add(self, data: bytes) -> str:
        """Another photo of anna; its address is that of `url` by its place."""
        self.photos.append(self.world.photo(data=data))
        self.site.faults[f"/anna/{len(self.photos)}.jpg"] = answering(body=data)
        self.site.faults[f"/anna/{len(self.photos)}.jpg.html"] = answering(html="<p>a photo</p>")
        return self.photos[-1]

    def lock(self, source: str = LIST) -> Path:
        catalog = self.world.dataset.catalog
        judge(catalog, EVERYTHING, MODELS)
        catalog.captions.choose_captioner(CAPTIONER, "say")
        todo = catalog.captions.uncaptioned()
        catalog.captions.record_captions(CAPTIONER.id, "say", {sha256: f"a photo {sha256[:4]}" for sha256 in todo})
        (self.world.dataset.root / "m.toml").write_text(f'name = "mine"\n{source}')
        shard(manifests.load(self.world.dataset.root / "m.toml"), self.world.dataset)
        return self.world.dataset.lock


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[Listed]:
    world = Listed(tmp_path)
    with serve(world.site):
        yield world


def url(number: int) -> str:
    return f"https://a.example/anna/{number}.jpg"


def test_the_same_lock_comes_out(crawled: CrawledGallery, tmp_path: Path) -> None:
    before = len(photos_sent(crawled.site))
    done = subprocess.run(
        command(crawled.dataset.lock, tmp_path, crawled.site.base_url), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) | {"photos": 0, "shards": 0, "samples": 0} == {
        "gone": [], "changed": [], "opted_out": [], "failed": [], "missing": 0, "problem": None,
        "photos": 0, "shards": 0, "samples": 0,
    }  # fmt: skip
    again = Dataset(tmp_path)
    assert again.lock.read_bytes() == crawled.dataset.lock.read_bytes()
    tars = sorted(path.name for path in crawled.dataset.shards.glob("*.tar"))
    assert len(tars) > 1
    for name in tars:
        assert (again.shards / name).read_bytes() == (crawled.dataset.shards / name).read_bytes()
    assert verify(again) == []
    locked = read(again.lock)["photos"]
    assert max(len(photo["sightings"]) for photo in locked) > 1, "the gallery shows one photo under two names"
    assert len(photos_sent(crawled.site)) - before == len(locked), "and it is fetched once"


def test_a_rebuilt_catalog_answers_as_the_first_did(crawled: CrawledGallery, tmp_path: Path) -> None:
    rebuild(crawled.dataset.lock, tmp_path / "data", Options(crawled.site.base_url, delay=0))
    again = Dataset(tmp_path / "data")

    def answers(dataset: Dataset) -> list[Any]:
        people = status(dataset)["people"]
        counts = [
            {key: row[key] for key in ("person", "name", "listed", "stored", "kept", "reasons")} for row in people
        ]
        photos = [explain(dataset.catalog, photo["sha256"]) for photo in read(dataset.lock)["photos"]]
        for photo in photos:
            photo["sightings"] = [(row["url"], row["person"], row["page_url"]) for row in photo["sightings"]]
        return [counts, photos]

    assert answers(again) == answers(crawled.dataset)
    again.catalog.lock_content.export_measurements(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == crawled.dataset.measurements.read_bytes()


def test_photos_gone_from_the_site_are_named_and_the_rest_is_written(crawled: CrawledGallery, tmp_path: Path) -> None:
    copy = tmp_path / "gallery"
    shutil.copytree(crawled.folder, copy)
    locked = read(crawled.dataset.lock)
    once = [photo for photo in locked["photos"] if photo["kept"] and len(photo["sightings"]) == 1][:3]
    gone = {photo["sightings"][0]["url"] for photo in once}
    for address in gone:
        (copy / "files" / "archive" / address.partition("/archive/")[2]).unlink()
    with serve_gallery(copy) as site:
        done = subprocess.run(
            command(crawled.dataset.lock, tmp_path / "data", site.base_url), capture_output=True, text=True
        )
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert urls(report, "gone") == gone
    assert report["changed"] == report["opted_out"] == report["failed"] == []
    assert all(address in done.stderr for address in gone)
    assert f"3 of {len(locked['photos'])} photos missing" in done.stderr
    again = Dataset(tmp_path / "data")
    assert verify(again) == []
    samples = [sum(entry["samples"] for entry in lock["shards"]) for lock in (read(again.lock), locked)]
    assert samples[0] == samples[1] - 3 == report["samples"]


def test_a_killed_rebuild_goes_on_and_fetches_nothing_twice(crawled: CrawledGallery, tmp_path: Path) -> None:
    before = len(photos_sent(crawled.site))
    start = command(crawled.dataset.lock, tmp_path, crawled.site.base_url, delay=0.05)
    for photos in (6, 12):
        process = subprocess.Popen(start, stdout=subprocess.DEVNULL)
        while len(photos_sent(crawled.site)) < before + photos:
            time.sleep(0.01)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run(start, stdout=subprocess.DEVNULL).returncode == 0
    sent = photos_sent(crawled.site)[before:]
    # Those being fetched at the moments of the kills are the only ones that may be asked for again.
    assert len(sent) - len(set(sent)) <= 2
    assert len(set(sent)) == len(read(crawled.dataset.lock)["photos"])
    assert Dataset(tmp_path).lock.read_bytes() == crawled.dataset.lock.read_bytes()
    asked = len(crawled.site.requests)
    assert subprocess.run(start, stdout=subprocess.DEVNULL).returncode == 0
    assert [path for path, _, _ in crawled.site.requests[asked:]] == [], "what is there needs no request at all"


def test_the_lock_tells_nothing_of_whoever_wrote_it(crawled: CrawledGallery, listed: Listed) -> None:
    text = crawled.dataset.lock.read_text()
    assert read(crawled.dataset.lock)["source"] == {"kind": "theplace", "profile": "theplace.ru"}
    assert read(listed.lock())["source"] == {"kind": "urls"}
    for private in ("somebody@example.org", crawled.site.base_url, "127.0.0.1", str(Path.home()), "urls.csv"):
        assert private not in text + listed.lock().read_text()


def test_changed_bytes_are_named_and_not_stored(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    listed.site.faults["/anna/2.jpg"] = answering(body=jpeg(99))
    report = rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))
    assert urls(report, "changed") == {url(2)}
    assert report["gone"] == report["failed"] == []
    assert "1 of 3 photos missing" in report["problem"]
    again = Dataset(tmp_path / "new")
    assert {file.stem for file in again.store.files()} == {listed.photos[0], listed.photos[2]}
    assert not list(again.store.inbox.iterdir())
    assert verify(again) == []
    asked = len(listed.site.sent("/anna/2.jpg"))
    assert urls(rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0)), "changed") == {url(2)}
    assert len(listed.site.sent("/anna/2.jpg")) == asked, "its bytes are not fetched again"


def test_what_came_back_is_fetched_by_the_next_run(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    photo, page = (listed.site.faults.pop(path) for path in ("/anna/1.jpg", "/anna/2.jpg.html"))
    report = rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))
    assert urls(report, "gone") == {url(1), url(2)}, "without its page a photo is no longer shown"
    listed.site.faults |= {"/anna/1.jpg": photo, "/anna/2.jpg.html": page}
    assert rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))["problem"] is None
    assert (tmp_path / "new" / lock.name).read_bytes() == lock.read_bytes()


def test_opt_outs_of_today_are_respected(listed: Listed, tmp_path: Path) -> None:
    listed.add(jpeg(7))
    lock = listed.lock()
    listed.site.robots = "User-agent: *\nDisallow: /anna/4.jpg$\n"
    listed.site.faults["/anna/1.jpg"] = answering(body=jpeg(0), X_Robots_Tag="noai")
    listed.site.faults["/anna/2.jpg.html"] = answering(html='<meta name="robots" content="noimageai">')
    report = rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))
    assert {entry["url"]: entry["reason"] for entry in report["opted_out"]} == {
        url(1): "opted_out",
        url(2): "opted_out",
        url(4): "robots",
    }
    assert not listed.site.sent("/anna/2.jpg ") and "/anna/2.jpg" not in listed.site.requests
    assert [file.stem for file in Dataset(tmp_path / "new").store.files()] == [listed.photos[2]]


def elsewhere(listed: Listed, person: str, path: str) -> None:
    """The first photo was seen at another address too."""
    sighting = Sighting(f"https://a.example{path}", person, "urls.csv", "stored", listed.photos[0], 200)
    listed.world.dataset.catalog.sightings.record(sightings=[sighting])


def test_a_photo_is_looked_for_at_each_of_its_addresses(listed: Listed, tmp_path: Path) -> None:
    elsewhere(listed, "anna", "/b/1.jpg")
    listed.site.faults["/b/1.jpg"] = listed.site.faults.pop("/anna/1.jpg")
    lock = listed.lock()
    report = rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))
    assert report["problem"] is None
    assert (tmp_path / "new" / lock.name).read_bytes() == lock.read_bytes()


def test_an_opted_out_photo_is_not_taken_from_elsewhere(listed: Listed, tmp_path: Path) -> None:
    elsewhere(listed, "anna", "/b/1.jpg")
    listed.site.faults["/b/1.jpg"] = listed.site.faults["/anna/1.jpg"]
    listed.site.faults["/anna/1.jpg"] = answering(body=jpeg(0), X_Robots_Tag="noai")
    lock = listed.lock()
    for _ in range(2):
        report = rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))
        assert urls(report, "opted_out") == {url(1)}
    assert not listed.site.sent("/b/")


def test_a_photo_that_was_opted_out_is_not_passed_on(listed: Listed, tmp_path: Path) -> None:
    first = listed.photos[0]
    elsewhere(listed, "anna", "/b/1.jpg")
    opted_out = Sighting(url(1), "anna", "", "opted_out", first, 200, "opted_out", None, "x-robots-tag: noai")
    listed.world.dataset.catalog.sightings.update([opted_out])
    lock = listed.lock()
    assert verify(listed.world.dataset) == []
    with duckdb.connect() as con:
        rows = con.execute(f"SELECT sha256 FROM '{listed.world.dataset.measurements}'").fetchall()
    assert {sha256 for (sha256,) in rows} == set(listed.photos[1:])
    assert url(1) not in lock.read_text() and "/b/1.jpg" not in lock.read_text()
    report = rebuild(lock, tmp_path / "new", Options(listed.site.base_url, delay=0))
    assert report["problem"] is None
    assert first not in {file.stem for file in Dataset(tmp_path / "new").store.files()}
    assert verify(Dataset(tmp_path / "new")) == []


def test_a_folders_photos_are_found_where_the_folder_lies_here(listed: Listed, tmp_path: Path) -> None:
    with listed.world.dataset.catalog.open() as con:
        con.execute("UPDATE sightings SET url = 'file:Änna/' || sha256 || '.jpg', page_url = url")
        con.execute("UPDATE sightings SET page_url = url")
    here = tmp_path / "photos" / "Änna"
    here.mkdir(parents=True)
    for file in listed.world.dataset.store.files():
        shutil.copy(file, here)
    (here / f"{listed.photos[1]}.jpg").unlink()
    (here / f"{listed.photos[2]}.jpg").write_bytes(jpeg(5))
    lock = listed.lock('[source]\nkind = "folder"\npath = "photos"\n')
    with pytest.raises(UsageError, match="--folder"):
        rebuild(lock, tmp_path / "new", Options())
    report = rebuild(lock, tmp_path / "new", Options(folder=tmp_path / "photos"))
    assert urls(report, "gone") == {f"file:Änna/{listed.photos[1]}.jpg"}
    assert urls(report, "changed") == {f"file:Änna/{listed.photos[2]}.jpg"}
    for file in listed.world.dataset.store.files():
        shutil.copy(file, here)
    assert rebuild(lock, tmp_path / "new", Options(folder=tmp_path / "photos"))["problem"] is None
    assert (tmp_path / "new" / lock.name).read_bytes() == lock.read_bytes()
    assert len(list(here.iterdir())) == 3, "a person's own files stay"


def test_older_locks_are_rebuilt_too(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    photos = [
        photo | {"sightings": [{"person": s["person"], "url": s["url"]} for s in photo["sightings"]]}
        for photo in read(lock)["photos"]
    ]
    older = rewritten(lock, tmp_path / "older", source=None, judgement=None, captioner=None, people=None, photos=photos)
    with duckdb.connect() as con:  # and their measurements do not say which photos are nearly the same
        con.execute(f"CREATE TABLE m AS FROM '{lock.parent / 'measurements.parquet'}'")
        con.execute(f"COPY (SELECT * EXCLUDE near FROM m) TO '{older.parent / 'measurements.parquet'}'")
    measurements = hashlib.sha256((older.parent / "measurements.parquet").read_bytes()).hexdigest()
    older = rewritten(older, tmp_path / "oldest", measurements=measurements)
    assert rebuild(older, tmp_path / "new", Options(listed.site.base_url, delay=0))["problem"] is None
    again = Dataset(tmp_path / "new")
    assert read(again.lock)["shards"] == read(lock)["shards"]
    assert [row["stored"] for row in status(again)["people"]] == [3]
    assert explain(again.catalog, listed.photos[0])["verdicts"][0]["kept"]


def test_shards_that_come_out_otherwise_are_named(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    shards = [entry | {"sha256": "0" * 64} for entry in read(lock)["shards"]]
    report = rebuild(
        rewritten(lock, tmp_path / "other", shards=shards), tmp_path / "new", Options(listed.site.base_url, delay=0)
    )
    assert f"but not {shards[0]['shard']}:" in report["problem"]


def test_a_wrong_lock_is_one_clear_error(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()

    def refused(path: Path, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            read_lock(path)

    refused(tmp_path / "none.json", "no such lock")
    refused(
        rewritten(lock, tmp_path / "version", version=3), "a lock of version 3, and this bolid reads up to 2; update"
    )
    refused(rewritten(lock, tmp_path / "measurements", measurements="0" * 64), "measurements.parquet: not the one")
    for name, text in (("json", "{"), ("deep", "[" * 100_000), ("list", "[]"), ("bytes", "\udcff")):
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
        refused(tmp_path / name, "not JSON|not a JSON object")
    altered = rewritten(lock, tmp_path / "altered")
    altered.write_text(altered.read_text().replace("/anna/1.jpg", "/anna/2.jpg"))
    refused(altered, "was altered")
    (altered.parent / "measurements.parquet").unlink()
    shutil.copy(lock, altered)
    refused(altered, "measurements.parquet: missing")


def photo_with(lock: Path, **sighting: str) -> list[dict[str, Any]]:
    photos = read(lock)["photos"]
    photos[0]["sightings"][0] |= sighting
    return photos


def test_a_hostile_lock_is_refused_before_anything_is_done(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    content = read(lock)
    shard_ = content["shards"][0]
    twice = photo_with(lock, url=content["photos"][1]["sightings"][0]["url"])
    for number, changes in enumerate(
        (
            {"photos": photo_with(lock, person="../../evil")},
            {"photos": photo_with(lock, url="https://a.example/\x1b[2J")},
            {"photos": photo_with(lock, url="gopher://a.example/")},
            {"photos": photo_with(lock, url="http://[")},
            {"photos": twice},
            {"photos": [content["photos"][0] | {"sha256": "../../evil"}]},
            {"shards": [shard_ | {"shard": "../evil.tar"}]},
            {"splits": [["../evil", 1.0]]},
            {"splits": "../evil"},
            {"name": "../evil"},
            {"source": {"kind": "pickle"}},
            {"thresholds": {"min_width": "evil"}},
            {"photos": "evil"},
        )
    ):
        with pytest.raises(UsageError, match="writes no such lock"):
            read_lock(rewritten(lock, tmp_path / str(number), **changes))


def test_a_lock_cannot_send_us_into_a_private_network(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    with serve(Site({})) as canary:
        photos = photo_with(lock, url=f"{canary.base_url}/secret")
        photos[1]["sightings"][0]["url"] = "http://169.254.169.254/latest/meta-data/"
        photos[2]["sightings"][0]["page_url"] = f"{canary.base_url}/secret.html"
        for photo in photos[:2]:
            photo["sightings"][0]["page_url"] = None
        hostile = rewritten(lock, tmp_path / "hostile", photos=photos)
        report = rebuild(hostile, tmp_path / "new", Options(contact="mailto:me@example.org", delay=0))
        assert canary.requests == []
    assert {entry["reason"] for entry in report["failed"]} == {"private_address"}
    assert len(report["failed"]) == 3


def test_a_lock_cannot_read_outside_of_the_folder(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    (tmp_path / "photos").mkdir()
    secret = next(listed.world.dataset.store.files())
    (tmp_path / "photos" / "link.jpg").symlink_to(secret)
    photos = read(lock)["photos"]
    addresses = (f"file:../{secret.relative_to(tmp_path)}", f"file:{secret}", "file:link.jpg")
    for photo, address in zip(photos, addresses, strict=True):
        photo["sightings"] = [{"person": "anna", "url": address}]
    hostile = rewritten(lock, tmp_path / "hostile", photos=photos)
    report = rebuild(hostile, tmp_path / "new", Options(folder=tmp_path / "photos"))
    assert [entry["reason"] for entry in report["failed"]] == ["outside"] * 3


def test_measurements_that_contradict_the_lock_are_refused(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    for number, (query, message) in enumerate(
        (
            ("SELECT * REPLACE (captions[:0] AS captions) FROM m", "lacks verdict, caption or keypoints"),
            ("SELECT * EXCLUDE detections FROM m", "not what `bolid shard` writes"),
            ("SELECT 1 AS x", "not what `bolid shard` writes"),
            (_body("stature", "'nan'"), "a measure of the body of photo [0-9a-f]{64} is not one"),
            (_body("../stature", "1.7"), "a measure of the body of photo [0-9a-f]{64} is not one"),
        )
    ):
        other = rewritten(lock, tmp_path / f"a{number}")
        file = other.parent / "measurements.parquet"
        with duckdb.connect() as con:
            con.execute(f"CREATE TABLE m AS FROM '{lock.parent / file.name}'")
            con.execute(f"COPY ({query}) TO '{file}'")
        other = rewritten(other, tmp_path / f"b{number}", measurements=hashlib.sha256(file.read_bytes()).hexdigest())
        with pytest.raises(UsageError, match=message):
            rebuild(other, tmp_path / f"new{number}", Options(listed.site.base_url, delay=0))


def _body(name: str, value: str) -> str:
    measure = f"{{'model': 'm', 'name': '{name}', 'value': {value}::DOUBLE}}"
    return f"SELECT * REPLACE ([{measure}] AS body_measures) FROM m"


def test_another_datasets_folder_is_left_alone(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    options = Options(listed.site.base_url, delay=0)
    before = read(lock)
    with pytest.raises(UsageError, match="holds another dataset"):
        rebuild(rewritten(lock, tmp_path / "same"), lock.parent, options)
    assert read(lock) == before
    with pytest.raises(UsageError, match="is not empty"):
        rebuild(lock, tmp_path / "same", options)
    rebuild(lock, tmp_path / "new", options)
    with pytest.raises(UsageError, match="holds another dataset"):
        rebuild(rewritten(lock, tmp_path / "other", seed=1), tmp_path / "new", options)
    assert Catalog(tmp_path / "new" / "catalog.duckdb").sightings.photos_by_sha256(listed.photos).keys() == set(
        listed.photos
    )


def test_strangers_sites_are_told_whom_to_ask(listed: Listed, tmp_path: Path) -> None:
    lock = listed.lock()
    done = bolid("rebuild", lock, "--data", tmp_path / "new")
    assert done.returncode == 2
    assert "bolid: error: --contact is missing; the owner of https://a.example must know" in done.stderr
    claims = {"kind": "theplace", "profile": "theplace.ru", "serve_gallery": True}
    with pytest.raises(UsageError, match="--contact is missing"):  # though it says that the site is our own gallery
        rebuild(rewritten(lock, tmp_path / "claims", source=claims), tmp_path / "new", Options())

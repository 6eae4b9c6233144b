"""After `bolid forget` nothing in the data folder mentions the person."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from bolid_data.lockfile import read_lock
from bolid_data.records import ListedPerson, ReadPage, Sighting, StoredPhoto
from bolid_data.shards import forget as forgetting
from bolid_data.shards.lock import verify
from bolid_data.shards.rebuild import rebuild_shards
from bolid_data.shards.write import shard
from tests.bolid_data.shards.test_shards import finish, index, manifest, tars
from tests.support.disks import mounted
from tests.support.gallery_site import Site, photo, serve
from tests.support.measured_dataset import World, jpeg

PEOPLE = ("ada_first", "bea_second", "cleo_third", "dora_fourth", "eve_fifth")
GONE, NAME = "cleo_third", "Cleo_Third"
MOMENTS = int(os.environ.get("BOLID_KILLS", "2"))
"""The number of moments at which a run is killed; few by default, as each takes two processes."""
SHAPE = "max_size = 40_000\nsplits = { train = 1.0 }"


def mentions(root: Path, person: str, name: str, photos: list[bytes]) -> list[str]:
    """The places in a folder that contain a slug or name, a photo's sha256 or a piece of its pixels (any 320 bytes hold
    one): the bytes and names of files, and the compressed contents of databases and Parquet files."""
    words = [person, name, *(hashlib.sha256(data).hexdigest() for data in photos)]
    pixels = [data[data.index(b"\xff\xda") + 14 :] for data in photos]
    chunks = {data[at : at + 64] for data in pixels for at in range(0, len(data) - 64, 256)}
    starts = np.sort(np.frombuffer(b"".join(chunk[:8] for chunk in chunks), np.uint64))
    places = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        shown = file.relative_to(root).as_posix()
        data = file.read_bytes()
        text = "\n".join([shown, *_values(file)]).lower()
        places += [f"{shown}: {word}" for word in words if word.lower() in text or _is_written(word, data)]
        places += [f"{shown}: a photo's bytes" for at in _positions(starts, data) if data[at : at + 64] in chunks]
    return places


def _is_written(word: str, data: bytes) -> bool:
    """Whether bytes hold a word as text, in any case: four letters alone stand in megabytes of hashes by chance."""
    return re.search(rb"(?<![^\0 -~])" + re.escape(word.encode()) + rb"(?![^\0 -~])", data, re.IGNORECASE) is not None


def _positions(starts: np.ndarray, data: bytes) -> Iterator[int]:
    """Where in `data` one of these 8 bytes (n,), sorted, stand."""
    for shift in range(8 if len(starts) else 0):
        words = np.frombuffer(data[shift : shift + (len(data) - shift) // 8 * 8], np.uint64)
        nearest = starts[np.minimum(np.searchsorted(starts, words), len(starts) - 1)]
        yield from (8 * np.flatnonzero(nearest == words) + shift).tolist()


def _values(file: Path) -> Iterator[str]:
    with duckdb.connect() as con:
        if file.suffix == ".parquet":
            yield from (repr(row) for row in con.execute("FROM read_parquet($1)", [str(file)]).fetchall())
        if file.suffix == ".duckdb":
            con.execute(f"ATTACH '{file}' AS db (READ_ONLY)")
            tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'db'").fetchall()
            for (table,) in tables:
                yield from (repr(row) for row in con.execute(f"FROM db.{table}").fetchall())


def small(seed: int) -> bytes:
    return jpeg(seed, 300, 400)


@pytest.fixture(scope="module")
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five people with shards, features, runs, a report and remains of a killed crawl; two people share a photo."""
    folder = tmp_path_factory.mktemp("made")
    world = World(folder / "data")
    for number, person in enumerate(PEOPLE):
        for shot in range(4):
            world.photo(person, data=small(10 * number + shot))
    shared = small(22)
    sha256 = hashlib.sha256(shared).hexdigest()
    sighting = Sighting(
        "https://a.example/dora_fourth/shared.jpg", "dora_fourth", "https://a.example/d", "stored", sha256
    )
    listing = json.dumps([{"person": person, "name": person.title()} for person in PEOPLE])
    page = ReadPage("https://a.example/a/", "", listing, "reader", 1)
    world.dataset.catalog.sightings.record(sightings=[sighting], pages=[page])
    finish(world)
    shard(manifest(folder, SHAPE), world.dataset)
    root = world.dataset.root
    for person in PEOPLE:
        (root / "features" / "abc" / person).mkdir(parents=True)
        (root / "features" / "abc" / person / "1.safetensors").write_bytes(b"features")
    (root / "report").mkdir()
    (root / "report" / "index.html").write_text(f"<img alt='{GONE}'>")
    (root / "photos" / ".inbox").mkdir()
    (root / "photos" / ".inbox" / "0.W251bGwsbnVsbF0=.part").write_bytes(small(20)[:5000])
    orphan = small(29)  # in the store, but not committed when its crawl was killed
    world.dataset.store.add(_file(folder, orphan), hashlib.sha256(orphan).hexdigest(), "jpg")
    _run(root, "with", [GONE, "eve_fifth"])
    _run(root, "without", ["eve_fifth"])
    return root


@pytest.fixture
def world(dataset_root: Path, tmp_path: Path) -> World:
    shutil.copytree(dataset_root, tmp_path / "data")
    return World(tmp_path / "data")


def _file(folder: Path, data: bytes) -> Path:
    (folder / "file").write_bytes(data)
    return folder / "file"


def _run(root: Path, name: str, people: list[str]) -> None:
    folder = root / "runs" / name
    (folder / "validation").mkdir(parents=True)
    (folder / "validation" / "step-00000001.png").write_bytes(b"a generated picture")
    (folder / "report.html").write_bytes(b"a page with the picture")
    (folder / "losses.jsonl").write_text("{}\n")
    hashes = [hashlib.sha256(f"salt{person}".encode()).hexdigest() for person in people]
    (folder / "adapter.json").write_text(json.dumps({"people": {"salt": "salt", "hashes": hashes}}))


def forget(world: World, name: str = GONE) -> dict[str, Any]:
    trace = forgetting.find(world.dataset, name)
    assert trace
    return forgetting.forget(world.dataset, trace)


def photos_of_the_person() -> list[bytes]:
    return [small(20 + shot) for shot in (0, 1, 2, 3, 9)]


def contents(world: World) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tars(world)}


def test_nothing_of_the_person_is_left_below_the_folder(world: World) -> None:
    root = world.dataset.root
    assert len(mentions(root, GONE, NAME, photos_of_the_person())) > 20, "the search finds the person before"
    result = forget(world)
    assert mentions(root, GONE, NAME, photos_of_the_person()) == []
    assert (result["person"], result["photos"]) == (GONE, 4)
    assert result["runs"] == [{"run": "with", "trained": True}]
    assert not list(root.glob("runs/*/validation/*")), "a grid shows several people"
    assert not list(root.glob("runs/*/report.html"))
    assert verify(world.dataset) == []


def test_other_people_keep_everything(world: World) -> None:
    before, rows = contents(world), [row for row in index(world, "samples") if row["person"] != GONE]
    with world.dataset.catalog.open(read_only=True) as con:
        verdicts = con.execute(
            "FROM verdicts WHERE person NOT IN ('cleo_third', 'dora_fourth') ORDER BY ALL"
        ).fetchall()
    result = forget(world)
    after = contents(world)
    assert {name for name in after if after[name] != before.get(name)} == set(result["shards"]["rewritten"])
    assert set(before) - set(after) == set(result["shards"]["removed"])
    assert "train-000000.tar" not in result["shards"]["rewritten"], "only tars around the person change"

    def members(files: dict[str, bytes]) -> dict[str, bytes]:
        contents_by_name: dict[str, bytes] = {}
        for data in files.values():
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                contents_by_name |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        return contents_by_name

    assert members(after) == {name: data for name, data in members(before).items() if not name.startswith(GONE)}
    places = {"shard", "offset"}
    kept = [{key: row[key] for key in row.keys() - places} for row in index(world, "samples")]
    assert kept == [{key: row[key] for key in row.keys() - places} for row in rows]
    with world.dataset.catalog.open(read_only=True) as con:
        assert con.execute("FROM verdicts WHERE person <> 'dora_fourth' ORDER BY ALL").fetchall() == verdicts
        assert con.execute("SELECT count(*) FROM verdicts WHERE person = 'dora_fourth'").fetchall() == [(4,)]


def test_the_shards_are_those_that_bolid_shard_would_write(world: World, tmp_path: Path) -> None:
    forget(world)
    after, lock = contents(world), json.loads(world.dataset.lock.read_text())
    shard(manifest(tmp_path, SHAPE), world.dataset)
    again = json.loads(world.dataset.lock.read_text())
    assert contents(world) == after
    assert (again["shards"], again["index"], again["photos"]) == (lock["shards"], lock["index"], lock["photos"])


def test_the_new_lock_can_be_rebuilt(world: World, tmp_path: Path) -> None:
    forget(world)
    elsewhere = Dataset(tmp_path / "elsewhere")
    elsewhere.catalog.create()
    lock = read_lock(world.dataset.lock)
    for pinned in lock.photos:
        file = world.dataset.store.find(pinned.sha256)
        elsewhere.store.add(file, pinned.sha256, "jpg")
        photos = [StoredPhoto(pinned.sha256, "JPEG", 1200, 1400, file.stat().st_size)]
        sightings = [Sighting(s.url, s.person, s.page_url or "", "stored", pinned.sha256) for s in pinned.sightings]
        elsewhere.catalog.sightings.record(
            [ListedPerson(s.person, s.person.title(), "") for s in sightings], photos, sightings
        )
    assert rebuild_shards(lock, elsewhere)["problem"] is None
    assert verify(elsewhere) == []


def test_a_killed_command_completes_when_it_is_run_again(world: World) -> None:
    moments = _moments(world)
    for moment in (share * moments // MOMENTS + 3 for share in range(MOMENTS)):
        # A copy of the dataset, and a process that is killed at its n-th change of the disk.
        copy = world.dataset.root.with_name(f"copy{moment}")
        shutil.copytree(world.dataset.root, copy)
        assert _start(copy, moment) == -signal.SIGKILL
        again = World(copy)
        if forgetting.find(again.dataset, GONE):
            forget(again)
        assert mentions(copy, GONE, NAME, photos_of_the_person()) == [], moment
        assert verify(again.dataset) == [], moment
        assert len(index(again, "samples")) == 16
        shutil.rmtree(copy)


KILLED = """
import os, signal, sys
from pathlib import Path
count, limit = 0, int(sys.argv[2])
def tick(event, arguments):
    global count
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate") or (
        event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax")
    ):
        count += 1
        if count == limit:
            os.kill(os.getpid(), signal.SIGKILL)
from bolid_data.dataset import Dataset
from bolid_data.shards import forget
dataset = Dataset(Path(sys.argv[1]))
sys.addaudithook(tick)
forget.forget(dataset, forget.find(dataset, sys.argv[3]))
print(count)
"""


def _start(root: Path, limit: int) -> int:
    command = [sys.executable, "-c", KILLED, str(root), str(limit), GONE]
    return subprocess.run(command, capture_output=True).returncode


def _moments(world: World) -> int:
    """The number of changes to the disk in a complete run."""
    copy = world.dataset.root.with_name("copy")
    shutil.copytree(world.dataset.root, copy)
    command = [sys.executable, "-c", KILLED, str(copy), "0", GONE]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_unfinished_shards_are_removed_entirely(world: World) -> None:
    world.dataset.lock.unlink()
    forget(world)
    assert mentions(world.dataset.root, GONE, NAME, photos_of_the_person()) == []
    assert tars(world) == []
    with pytest.raises(UsageError, match="run `bolid shard` first"):
        verify(world.dataset)


def test_an_ambiguous_name_is_refused(world: World) -> None:
    world.dataset.catalog.sightings.record([ListedPerson("eve_2", "Eve_Fifth", "https://a.example/eve_2/")])
    with pytest.raises(UsageError, match="2 people have this name; say which: eve_2, eve_fifth"):
        forgetting.find(world.dataset, "Eve_Fifth")
    with pytest.raises(UsageError, match="nobody in"):
        forgetting.find(world.dataset, "nobody_at_all")
    assert forget(world, NAME.upper())["person"] == GONE
    assert forgetting.find(world.dataset, GONE) is None


def test_the_command_forgets_and_reports(world: World, tmp_path: Path) -> None:
    manifest(tmp_path)
    command = [sys.executable, "-m", "bolid", "forget", str(tmp_path / "m.toml"), GONE, "--json"]
    command += ["--data", str(world.dataset.root), "--yes"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    assert json.loads(first.stdout)["photos"] == 4
    assert json.loads(second.stdout) == {"person": GONE, "already": True}
    assert mentions(world.dataset.root, GONE, NAME, photos_of_the_person()) == []


def test_a_crawl_does_not_bring_the_person_back(tmp_path: Path) -> None:
    people = {person: [photo(10 * number + shot) for shot in range(3)] for number, person in enumerate(PEOPLE)}
    path = tmp_path / "m.toml"
    with serve(Site(people)) as site:
        text = f'base_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0\n'
        path.write_text(f'name = "crawl"\n[source]\nkind = "theplace"\n{text}')
        dataset = Dataset(tmp_path / "data")
        scrape(manifests.load(path), dataset)
        gone = people[GONE]
        people["eve_fifth"].append(gone[0])  # nor under another name
        trace = forgetting.find(dataset, GONE)
        assert trace
        forgetting.forget(dataset, trace)
        requests_before = len(site.requests)
        scrape(manifests.load(path), dataset)
        assert not [sent for sent in site.requests[requests_before:] if f"/{GONE}" in sent]
    assert mentions(dataset.root, GONE, NAME, gone) == []
    with dataset.catalog.open(read_only=True) as con:
        assert con.execute("SELECT DISTINCT person FROM sightings ORDER BY ALL").fetchall() == [
            (person,) for person in PEOPLE if person != GONE
        ]
        assert con.execute("SELECT count(*) FROM photos").fetchall() == [(12,)]
    assert {file.stem for file in dataset.store.files()}.isdisjoint(hashlib.sha256(data).hexdigest() for data in gone)


def test_a_folder_that_still_has_the_person_does_not_bring_them_back(tmp_path: Path) -> None:
    for number, person in enumerate(PEOPLE):
        (tmp_path / "photos" / person).mkdir(parents=True)
        (tmp_path / "photos" / person / "1.jpg").write_bytes(photo(number))
    loaded, dataset = manifest(tmp_path), Dataset(tmp_path / "data")
    scrape(loaded, dataset)
    trace = forgetting.find(dataset, GONE)
    assert trace
    forgetting.forget(dataset, trace)
    (tmp_path / "photos" / GONE / "2.jpg").write_bytes(photo(99))
    scrape(loaded, dataset)
    assert mentions(dataset.root, GONE, NAME, [photo(2), photo(99)]) == []
    assert len(list(dataset.store.files())) == 4


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk."""
    with mounted(tmp_path / "disk", "200m") as disk:
        yield disk


def fill(disk: Path) -> None:
    """Fills a disk."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_on_a_full_disk_it_deletes_before_it_writes(world: World, disk: Path, tmp_path: Path) -> None:
    shutil.copytree(world.dataset.root, disk / "data")
    # As large as a report is: deleting it first frees the space that is needed.
    (disk / "data" / "report" / "large.html").write_bytes(bytes(30_000_000))
    fill(disk)
    manifest(tmp_path)
    command = [sys.executable, "-m", "bolid", "forget", str(tmp_path / "m.toml"), GONE, "--yes", "--data"]
    done = subprocess.run([*command, str(disk / "data")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert mentions(disk / "data", GONE, NAME, photos_of_the_person()) == []
    assert verify(World(disk / "data").dataset) == []


def test_on_a_disk_that_stays_full_the_persons_photos_are_deleted_anyway(
    world: World, disk: Path, tmp_path: Path
) -> None:
    shutil.copytree(world.dataset.root, disk / "data")
    fill(disk)
    manifest(tmp_path)
    command = [sys.executable, "-m", "bolid", "forget", str(tmp_path / "m.toml"), GONE, "--yes", "--data"]
    first = subprocess.run([*command, str(disk / "data")], capture_output=True, text=True)
    assert first.returncode == 1 and "Traceback" not in first.stderr, first.stderr
    assert not {file.stem for file in World(disk / "data").dataset.store.files()} & {
        hashlib.sha256(data).hexdigest() for data in photos_of_the_person()
    }
    (disk / "filler").unlink()
    again = subprocess.run([*command, str(disk / "data")], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert mentions(disk / "data", GONE, NAME, photos_of_the_person()) == []

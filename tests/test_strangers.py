"""A dataset's folder that a stranger made: whatever its files say, nothing outside of it is read, written or deleted,
and what is wrong is one error that names the file.

Every field is tried with every value by `BOLID_SWEEP=1`; the usual test tries some of them, others in every field.
"""

import copy
import hashlib
import json
import math
import os
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bolid_data.collect.rebuild import Options, fetch_locked
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.lockfile import canonical, lock_digest, read_lock
from bolid_data.report import show
from bolid_data.shard_index import ShardIndex
from bolid_data.shards import forget as forgetting
from bolid_data.shards.lock import verify
from bolid_data.shards.rebuild import rebuild_shards
from bolid_data.shards.write import shard
from bolid_data.stale import find_stale
from bolid_data.weights import file_sha256
from bolid_train import settings as manifests
from bolid_train.data.shard_dataset import ShardDataset
from bolid_train.diffusion.base import Base
from bolid_train.evaluate.finished_runs import find_runs
from bolid_train.inference.generate import Request, generate
from bolid_train.methods import adapter
from bolid_train.methods.registry import resolve as resolve_method
from bolid_train.training.trainer import train
from tests.bolid_data.shards.test_shards import finish
from tests.support.drawn_shards import draw_person
from tests.support.measured_dataset import World
from tests.support.small_base import small_base

SWEEP = bool(os.environ.get("BOLID_SWEEP"))
MANIFEST = """
name = "mine"
[source]
kind = "folder"
path = "photos"
[shards]
splits = {{ train = 1.0 }}
[train]
method = "bolid"
base = "{base}"
batch_size = 1
views = 2
body_dim = 32
encoder_steps = 1
prior_steps = 1
"""


@dataclass
class Watch:
    """What was opened, made, renamed or deleted outside of the dataset while it was on."""

    outside: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.outside or not (event == "open" or event.startswith(("os.", "shutil."))):
            return
        for argument in arguments[:2]:
            if isinstance(argument, str | bytes | os.PathLike):
                path = os.path.normpath(Path.cwd() / os.fsdecode(argument))
                if path.startswith(self.outside) or path in ("/etc/passwd", "/dev/zero"):
                    self.seen.append(f"{event} {path}")


WATCH = Watch()
sys.addaudithook(WATCH)


@dataclass(frozen=True)
class Home:
    """A dataset's folder, the manifest beside it, and a neighbour who must notice nothing."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "home" / "data"

    @property
    def victim(self) -> Path:
        return self.folder / "victim"

    @property
    def manifest(self) -> manifests.Manifest:
        return manifests.load(self.folder / "home" / "m.toml")

    def copy(self, to: Path) -> "Home":
        shutil.copytree(self.folder, to, dirs_exist_ok=True)
        return Home(to)

    def left_alone(self) -> None:
        assert {path.name: path.read_bytes() for path in self.victim.iterdir()} == {"1.jpg": b"a neighbour's photo"}
        assert {path.name for path in self.folder.iterdir()} == {"home", "victim"}
        assert {path.name for path in (self.folder / "home").iterdir()} <= {"data", "m.toml", "photos", "again", "out"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("stranger"))
    made.data.mkdir(parents=True)
    (made.folder / "home" / "m.toml").write_text(MANIFEST.format(base=small_base()))
    made.victim.mkdir()
    (made.victim / "1.jpg").write_bytes(b"a neighbour's photo")
    world = World(made.data)
    for number, person in enumerate(("anna", "berta")):
        (made.folder / "home" / "photos" / person).mkdir(parents=True)
        for shot in range(2):
            data, keypoints = draw_person(10 * number + shot)
            world.photo(person, data=data, width=1200, height=1400, keypoints=keypoints)
            (made.folder / "home" / "photos" / person / f"{shot}.jpg").write_bytes(data)
    with world.dataset.catalog.open() as con:  # as a folder's photos are recorded
        con.execute("UPDATE sightings SET url = 'file:' || person || '/' || (rowid % 2) || '.jpg', page_url = NULL")
        con.execute("UPDATE sightings SET page_url = url")
        con.execute("UPDATE people SET url = 'file:' || person || '/'")
    finish(world)
    shard(made.manifest, world.dataset)
    train(made.manifest, made.data, steps=1)
    shutil.rmtree(made.data / "features")
    return made


VALUES: dict[str, Any] = {
    "traversal": "../../victim",
    "absolute": "{victim}",
    "nul": "a\0b",
    "esc": "a\x1b[2J\x1b]52;c;aGk=\x07",
    "empty": "",
    "huge text": "x" * 300_000,
    "huge": 2**63 - 1,
    "negative": -1,
    "nan": math.nan,
    "wrong type": {"a": []},
    "nothing": None,
}


def chosen(cases: list[Any], less: int = 9) -> list[Any]:
    """All cases, or one in `less`: as there are other values than that, each field meets some."""
    return cases if SWEEP else cases[::less]


def value_of(name: str, home: Home) -> Any:
    value = VALUES[name]
    return str(home.victim) if name == "absolute" else value


@contextmanager
def watched(home: Home) -> Iterator[None]:
    WATCH.seen, WATCH.outside = [], str(home.victim)
    try:
        yield
    finally:
        WATCH.outside = ""
    assert WATCH.seen == [], "read, written or deleted outside"
    home.left_alone()


def survives(home: Home, names: tuple[str, ...], *commands: Callable[[], Any]) -> int:
    """Runs commands; each does its work or raises one error that names a file. Returns how many were refused."""
    refused = 0
    for command in commands:
        with watched(home):
            try:
                command()
            except BolidError as error:
                assert any(name in str(error) for name in names), error
                refused += 1
    return refused


def sealed(home: Home, lock: dict[str, Any]) -> None:
    """Writes a lock as a stranger would: under a sha256 that is right."""
    lock = {key: value for key, value in lock.items() if key != "sha256"}
    try:
        lock["sha256"] = lock_digest(lock)
    except ValueError:
        lock["sha256"] = "0" * 64
    (home.data / "dataset.lock.json").write_text(json.dumps(lock))


def lock_of(home: Home) -> dict[str, Any]:
    return json.loads((home.data / "dataset.lock.json").read_text())


def forget(home: Home, person: str = "anna") -> None:
    dataset = Dataset(home.data)
    with dataset.working():
        trace = forgetting.find(dataset, person)
        assert trace
        forgetting.forget(dataset, trace)


# The index.

COLUMNS = {
    "samples": (
        "key", "person", "sha256", "split", "shard", "offset", "size", "width", "height", "caption", "keypoints",
        "made", "captions", "measures", "rotation",
    ),
    "shards": ("shard", "sha256", "bytes", "samples", "split"),
    "sources": ("sha256", "url"),
    "ids": ("name", "id"),
    "about": ("value",),
}  # fmt: skip
INDEX_CASES = [(table, column, name) for table, own in COLUMNS.items() for column in own for name in VALUES]


def write_index(home: Home, table: str, column: str, value: Any) -> None:
    index = home.data / "shards" / "index.duckdb"
    with duckdb.connect(index) as con:
        con.execute("SET VARIABLE value = $1", [value])
        con.execute(f"CREATE TABLE t AS SELECT * REPLACE (getvariable('value') AS \"{column}\") FROM {table}")
        con.execute(f"DROP TABLE {table}")
        con.execute(f"ALTER TABLE t RENAME TO {table}")
        digest = hashlib.sha256()
        for name in ("samples", "shards", "sources"):
            result = con.execute(f"FROM {name} ORDER BY ALL")
            columns = [column[0] for column in result.description]
            for row in result.fetchall():
                digest.update(canonical([name, dict(zip(columns, row, strict=True))]))
    sealed(home, lock_of(home) | {"index": digest.hexdigest()})


@pytest.mark.parametrize(("table", "column", "name"), chosen(INDEX_CASES, 20))
def test_an_index(table: str, column: str, name: str, home: Home, tmp_path: Path, capfd: Any) -> None:
    mine = home.copy(tmp_path)
    write_index(mine, table, column, value_of(name, mine))
    dataset = Dataset(mine.data)
    survives(
        mine,
        ("index.duckdb", "shards"),
        lambda: verify(dataset),
        lambda: show.print_status(show.status(dataset)),
        lambda: train(mine.manifest, mine.data, steps=1, run="next"),
        lambda: forget(mine),
    )
    assert "\x1b" not in "".join(capfd.readouterr())


def test_an_index_whose_names_lead_out_is_refused_by_all_who_read_it(home: Home, tmp_path: Path) -> None:
    for number, (table, column, value) in enumerate(
        [
            ("samples", "person", "../../../victim"),
            ("samples", "shard", "../../../victim/1.jpg"),
            ("samples", "shard", "../../dev/zero"),
            ("samples", "offset", 2**62),
            ("samples", "size", 2**40),
            ("samples", "split", "../../victim"),
        ]
    ):
        mine = home.copy(tmp_path / str(number))
        write_index(mine, table, column, value)
        dataset = Dataset(mine.data)
        assert {entry["file"]: entry["problem"] for entry in verify(dataset)} == {"shards/index.duckdb": "changed"}
        with pytest.raises(BolidError, match=r"index\.duckdb"):
            train(mine.manifest, mine.data, steps=1, run="next")
        with watched(mine):
            forget(mine)
        assert not dataset.shards.exists(), "shards that no index vouches for are removed, and written by `bolid shard`"


def test_an_index_cannot_make_the_database_read_another_file(home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    with duckdb.connect(mine.data / "shards" / "index.duckdb") as con:
        con.execute("ALTER TABLE samples RENAME TO hidden")
        con.execute(f"CREATE VIEW samples AS SELECT * REPLACE (content AS caption) FROM hidden, "
                    f"read_text('{mine.victim}/1.jpg')")  # fmt: skip
    for read in (lambda: list(ShardIndex(mine.data / "shards" / "index.duckdb").samples()), lambda: verify_ok(mine)):
        with pytest.raises((BolidError, AssertionError), match=r"index\.duckdb"):
            read()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("captions", "MAP {'a': repeat('x', 30000)}"),
        ("captions", "MAP {repeat('x', 30000): 'a'}"),
        ("captions", "MAP {'': 'a'}"),
        ("captions", "MAP {'a': NULL}"),
        ("captions", "MAP {1: 'a'}"),
        ("captions", "MAP {[1]: 'a'}"),
        ("captions", "map([i::VARCHAR for i in range(101)], [i::VARCHAR for i in range(101)])"),
        ("captions", "['a']"),
        ("measures", "MAP {'a': 'nan'::DOUBLE}"),
        ("measures", "MAP {'a': '-inf'::DOUBLE}"),
        ("measures", "MAP {'a': NULL::DOUBLE}"),
        ("measures", "MAP {'a': 'b'}"),
        ("measures", "MAP {'../a': 1.0::DOUBLE}"),
        ("measures", "MAP {'\x1b[2J': 1.0::DOUBLE}"),
        ("measures", "map(['a' || i for i in range(100000)], [i::DOUBLE for i in range(100000)])"),
        ("rotation", "360"),
        ("rotation", "-90"),
        ("rotation", "0.5::DOUBLE"),
    ],
)
def test_what_more_is_known_of_a_sample_has_its_bounds(column: str, value: str, home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    index = mine.data / "shards" / "index.duckdb"
    with duckdb.connect(index) as con:
        con.execute(f"CREATE TABLE t AS SELECT * REPLACE ({value} AS {column}) FROM samples")
        con.execute("DROP TABLE samples")
        con.execute("ALTER TABLE t RENAME TO samples")
    with pytest.raises(BolidError, match=rf"index\.duckdb: samples, row 1: {column}"):
        list(ShardIndex(index).samples())
    assert {entry["file"]: entry["problem"] for entry in verify(Dataset(mine.data))} == {
        "shards/index.duckdb": "changed"
    }


def verify_ok(home: Home) -> None:
    problems = verify(Dataset(home.data))
    assert problems == [], problems


def explain(dataset: Dataset, sha256: str) -> None:
    show.print_explanation(show.explain(dataset.catalog, sha256))


def seen_by_runs(home: Home) -> list[list[str]]:
    runs = find_runs(home.data / "runs", [], ShardDataset(home.data / "shards").index)
    return [run.trained_on(["anna", "berta"]) for run in runs]


# The lock and the measurements beside it.


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value every field stands; of a list the first entry counts for all."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*place, key)
            yield from leaves(part, (*place, key))
    elif isinstance(value, list | tuple) and len(value):
        yield (*place, 0)
        yield from leaves(value[0], (*place, 0))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    at = value
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = new
    return value


def rebuild(home: Home) -> None:
    lock, dataset = read_lock(home.data / "dataset.lock.json"), Dataset(home.folder / "home" / "again")
    with dataset.working():
        fetch_locked(lock, dataset, Options(folder=home.folder / "home" / "photos", contact="mailto:a@example.org"))
        rebuild_shards(lock, dataset)


@pytest.mark.slow
def test_a_lock(home: Home, tmp_path: Path, capfd: Any) -> None:
    lock = lock_of(home)
    cases = chosen([(place, name) for place in leaves(lock) for name in VALUES], 40)
    for number, (place, name) in enumerate(cases):
        mine = home.copy(tmp_path / str(number))
        sealed(mine, changed(lock, place, value_of(name, mine)))
        dataset = Dataset(mine.data)
        survives(mine, ("dataset.lock.json", "again", "--folder"), partial(verify, dataset))
        survives(mine, ("dataset.lock.json", "measurements.parquet", "--folder"), partial(rebuild, mine))
        survives(mine, ("dataset.lock.json",), partial(forget, mine))
        shutil.rmtree(mine.folder)
    assert "\x1b" not in "".join(capfd.readouterr())
    print(f"{3 * len(cases)} cases of a lock")


@pytest.mark.parametrize(
    "splits", [{"a": []}, {"train": 1.0}, ["ab"], [{"a": 0, "b": 1}], [["train", 1.0], ["train", 1.0]], None, "x"]
)
def test_a_lock_has_its_splits_as_pairs(splits: Any, home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    sealed(mine, lock_of(home) | {"splits": splits})
    with pytest.raises(BolidError, match=r"dataset\.lock\.json: splits: not pairs"):
        rebuild(mine)
    with watched(mine):
        forget(mine)
    assert not Dataset(mine.data).shards.exists()


def test_measurements(home: Home, tmp_path: Path, capfd: Any) -> None:
    with duckdb.connect() as con:
        result = con.execute(f"FROM '{home.data / 'measurements.parquet'}'")
        columns = [column[0] for column in result.description]
        rows = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
    cases = chosen([(place, name) for place in leaves(rows) for name in VALUES])
    for number, (place, name) in enumerate(cases):
        mine = home.copy(tmp_path / str(number))
        try:
            # Every row alike, or the columns have no type.
            made = [row if place == (0,) else changed([row], place, value_of(name, mine))[0] for row in rows]
            pq.write_table(pa.Table.from_pylist(made), mine.data / "measurements.parquet")
        except (pa.ArrowException, IndexError, KeyError, TypeError, OverflowError):
            continue  # no such file can be written
        sealed(mine, lock_of(mine) | {"measurements": file_sha256(mine.data / "measurements.parquet")})
        survives(mine, ("measurements.parquet",), partial(rebuild, mine))
        dataset = Dataset(mine.folder / "home" / "again")
        if dataset.lock.exists():  # what was taken over can be shown
            show.print_status(show.status(dataset))
            for sha256 in (entry["sha256"] for entry in lock_of(home)["photos"][:1]):
                survives(mine, (sha256,), partial(explain, dataset, sha256))
        shutil.rmtree(mine.folder)
    assert "\x1b" not in "".join(capfd.readouterr())
    print(f"{len(cases)} cases of measurements")


# A run.


@pytest.mark.slow
def test_an_adapter(home: Home, tmp_path: Path, capfd: Any) -> None:
    content = json.loads((home.data / "runs" / "bolid" / "adapter.json").read_text())
    content["people"] = {"salt": "a", "hashes": ["0" * 64]}
    cases = chosen([(place, name) for place in leaves(content) for name in VALUES], 60)
    for number, (place, name) in enumerate(cases):
        mine = home.copy(tmp_path / str(number))
        run = mine.data / "runs" / "bolid"
        (run / "adapter.json").write_text(json.dumps(changed(content, place, value_of(name, mine))))
        dataset = Dataset(mine.data)
        survives(
            mine,
            ("adapter.json", str(run)),
            partial(adapter.read, run),
            partial(find_stale, dataset),
            partial(seen_by_runs, mine),
            partial(forget, mine),
        )
        shutil.rmtree(mine.folder)
    assert "\x1b" not in "".join(capfd.readouterr())
    print(f"{4 * len(cases)} cases of an adapter.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base", "/etc"),
        ("base", "../../victim"),
        ("base", "somebody/elses-model"),
        ("image_encoder", "somebody/elses-encoder"),
        ("image_encoder", "/etc"),
    ],
)
def test_a_run_whose_models_point_elsewhere_is_refused(key: str, value: str, home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    file = mine.data / "runs" / "bolid" / "adapter.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"settings": content["settings"] | {key: value}}))
    with watched(mine), pytest.raises(BolidError, match=rf"adapter\.json: was made on {key} '"):
        generate(mine.data, mine.manifest, Request(prompt="a person", out=mine.folder / "home" / "out" / "a.png"))


def header_cases(header: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    first = next(key for key in header if key != "__metadata__")
    for place in leaves({first: header[first]}):
        for name, value in VALUES.items():
            if name != "absolute":
                yield f"{place} {name}", _encoded(changed(header, place, value))
    for length in (0, 1, 7, 2**20, 2**40, 2**63 - 1, 2**64 - 1):
        yield f"length {length}", struct.pack("<Q", length) + b"{}"
    yield "many dimensions", _encoded(changed(header, (first, "shape"), [1] * 1000))
    yield "a large dimension", _encoded(changed(header, (first, "shape"), [10**9, 10**9]))
    yield "nothing of 10^9", _encoded({first: {"dtype": "F32", "shape": [10**9, 0], "data_offsets": [0, 0]}})
    yield "no JSON", struct.pack("<Q", 4) + b"[[[["
    yield "deep JSON", struct.pack("<Q", 100_000) + b"[" * 100_000


def _encoded(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def test_weights(home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    settings, run = mine.manifest.train, mine.data / "runs" / "bolid"
    base = Base.resolve(settings, mine.folder)
    method = resolve_method("bolid").make(settings, base)
    method.install(base.unet(torch.device("cpu")), base)
    count = 0
    for file in sorted(run.glob("*.safetensors")):
        data = file.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        for _, head in chosen(list(header_cases(header))):
            file.write_bytes(head + data[8 + length :])
            survives(mine, (file.name,), lambda: method.load(run))
            count += 1
        file.write_bytes(data)
    bad = torch.full((1,), math.nan).numpy().tobytes()
    ref = run / "ref.safetensors"
    ref.write_bytes(ref.read_bytes()[:-4] + bad)
    with pytest.raises(BolidError, match=r"ref\.safetensors.*infinite or NaN"):
        method.load(run)
    print(f"{count} cases of a header")


# A tar, links, and what is not a file.


def test_a_tars_members_are_read_no_further_than_they_go(home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    shards = ShardDataset(mine.data / "shards")
    sample = next(iter(shards.people("train").values()))[0]
    tar = mine.data / "shards" / sample.shard
    original = tar.read_bytes()

    def member(name: str, **about: Any) -> bytes:
        info = tarfile.TarInfo(name)
        for key, value in about.items():
            setattr(info, key, value)
        return info.tobuf(tarfile.GNU_FORMAT)

    bomb = bytearray(member(f"{sample.key}.jpg", type=tarfile.GNUTYPE_SPARSE, size=512))
    bomb[386:398], bomb[398:410], bomb[483:495] = b"00000000000\0", b"00000001000\0", b"77777777777\0"
    bomb[148:156] = b" " * 8
    bomb[148:156] = f"{sum(bomb):06o}\0 ".encode()
    for head in (
        bytes(bomb),
        member(f"{sample.key}.jpg", size=2**33 - 1),
        member(f"{sample.key}.jpg", type=tarfile.SYMTYPE, linkname=str(mine.victim / "1.jpg")),
        member(f"{sample.key}.jpg", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member("../../../victim/1.jpg", size=10),
        b"\0" * 512,
        b"\xff" * 512,
    ):
        tar.write_bytes(original[: sample.offset] + head + original[sample.offset + 512 :])
        fresh = ShardDataset(mine.data / "shards")
        survives(mine, (sample.shard,), partial(fresh.photo, sample), partial(fresh.members, sample))


@pytest.mark.parametrize("name", ["features", "runs", "evaluation", "photos/00", "shards/train-000000.tar", "report"])
def test_a_link_that_leads_out_is_refused(name: str, home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    link = mine.data / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(mine.victim / "1.jpg" if link.suffix else mine.victim)
    for command in (lambda: forget(mine), lambda: train(mine.manifest, mine.data, steps=1, run="next")):
        with watched(mine), pytest.raises(BolidError, match="a link that leads out of"):
            command()


def test_a_shard_that_is_no_file_is_never_waited_for(home: Home, tmp_path: Path) -> None:
    mine = home.copy(tmp_path)
    tar = mine.data / "shards" / "train-000000.tar"
    tar.unlink()
    os.mkfifo(tar)
    with pytest.raises(BolidError, match=r"train-000000\.tar: is not a regular file"):
        train(mine.manifest, mine.data, steps=1, run="next")
    assert {entry["problem"] for entry in verify(Dataset(mine.data))} == {"missing"}

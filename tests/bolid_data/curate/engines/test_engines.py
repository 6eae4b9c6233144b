"""Both engines give the same measurements and verdicts, whatever the order and the chunks, and when killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bolid_data import manifest
from bolid_data.collect.run import scrape
from bolid_data.curate.engines import local, ray_cluster
from bolid_data.curate.measurers.measurer import Measurer, Photo
from bolid_data.curate.measurers.perceptual_hash import HashMeasurer
from bolid_data.curate.run import PersonBoxes, build_measurers, filter_photos
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.images import BrokenPhotoError, read_upright
from bolid_data.synthetic.camera import FRAMINGS
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import Shot, take_photo

MANIFEST = """
name = "engines"
[source]
kind = "folder"
path = "{}"
[models]
device = "cpu"
[filter]
min_width = 480
min_height = 640
min_photos_per_person = 1
"""
TABLES = {
    "detections": "sha256, model, kind, score, box, keypoints",
    "watermarks": "sha256, model, probability",
    "hashes": "sha256, model, phash",
    "qualities": "sha256, model, sharpness, brightness, colourfulness",
}
TOLERANCE = 1e-3
"""Relative tolerance between the measurements of the two engines."""

Make = Callable[[], tuple[manifest.Manifest, Dataset]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person's photos: clean ones of two shapes, two of several people, one of nobody, one small, one damaged."""
    folder = tmp_path_factory.mktemp("photos") / "anna"
    folder.mkdir()
    people = [draw_person(17, i) for i in range(3)]
    groups = [(0,), (0,), (0,), (0,), (0, 1), (0, 1, 2), ()]
    for number, group in enumerate(groups):
        size = (600, 800) if number % 2 else (640, 960)
        shot = Shot(FRAMINGS[number % 3], yaw=15)
        drawn = take_photo([people[i] for i in group], (17, number), size, shot).image
        Image.fromarray(drawn).save(folder / f"{number}.jpg", quality=90)
    Image.open(folder / "0.jpg").resize((300, 450)).save(folder / "small.jpg")
    Image.open(folder / "2.jpg").save(folder / "damaged.png")
    data = bytearray((folder / "damaged.png").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    (folder / "damaged.png").write_bytes(data)
    return folder.parent


@pytest.fixture
def collected(photos: Path, tmp_path: Path) -> Make:
    """Makes datasets whose photos are collected but not measured."""
    count = iter(range(99))

    def make() -> tuple[manifest.Manifest, Dataset]:
        folder = tmp_path / str(next(count))
        folder.mkdir()
        (folder / "m.toml").write_text(MANIFEST.format(photos))
        loaded, dataset = manifest.load(folder / "m.toml"), Dataset(folder / "data")
        scrape(loaded, dataset)
        return loaded, dataset

    return make


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray cluster of two workers for all tests here."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed; `pip install 'bolid[ray]'`")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
    import ray

    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(params=["local", "ray"])
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return request.param


def rows(dataset: Dataset) -> dict[str, list[tuple]]:
    with dataset.catalog.open(read_only=True) as con:
        return {
            table: sorted(con.execute(f"SELECT {columns} FROM {table}").fetchall()) for table, columns in TABLES.items()
        }


def verdicts(dataset: Dataset) -> dict[str, list[str]]:
    with dataset.catalog.open(read_only=True) as con:
        return dict(con.execute("SELECT sha256, reasons FROM verdicts").fetchall())


def measured_by(dataset: Dataset) -> dict[str, set[str]]:
    """For each file, the names of the models that measured it."""
    with dataset.catalog.open(read_only=True) as con:
        rows = con.execute(
            """SELECT parse_filename(url), list(models.name) FROM sightings JOIN measured USING (sha256)
            JOIN models ON measured.model = models.id GROUP BY url"""
        ).fetchall()
    return {file: set(names) for file, names in rows}


def alone(loaded: manifest.Manifest, dataset: Dataset) -> dict[str, list[tuple]]:
    """The rows of all measurers by table, measured photo by photo in reverse order."""
    measurers = build_measurers(loaded.models, loaded.folder, "cpu", PersonBoxes(dataset.catalog))
    tables: dict[str, list[tuple]] = {table: [] for table in TABLES}
    for file in reversed(list(dataset.store.files())):
        try:
            photo = Photo(file.stem, read_upright(file))
        except BrokenPhotoError:
            continue
        for measurer in measurers.values():
            for table, rows_of_photo in measurer.measure([photo]).items():
                columns = TABLES[table].split(", ")
                tables[table] += [
                    tuple(({"model": measurer.model.id} | row)[c] for c in columns) for row in rows_of_photo
                ]
    return tables


def numbers(values: Any) -> list[float]:
    """All numbers in rows, in order."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [number for value in values for number in numbers(value)]
    return [values] if isinstance(values, int | float) else []


class TestEngines:
    def test_a_photo_is_measured_as_if_it_were_the_only_one(self, name: str, collected: Make) -> None:
        loaded, dataset = collected()
        filter_photos(loaded, dataset, measure_all=True, engine=name)
        measured, expected = rows(dataset), alone(loaded, dataset)
        for table in TABLES:
            assert len(measured[table]) == len(expected[table]) > 0
            # The catalog stores single precision.
            assert numbers(measured[table]) == pytest.approx(numbers(sorted(expected[table])), rel=TOLERANCE)

    def test_a_photo_that_is_out_by_the_first_stage_skips_the_second(self, name: str, collected: Make) -> None:
        loaded, dataset = collected()
        result = filter_photos(loaded, dataset, engine=name)
        first_stage, second_stage = {"phash", "quality", "yolo11n-pose"}, {"mtcnn", "bolid-watermark"}
        models = measured_by(dataset)
        assert models["0.jpg"] == models["3.jpg"] == first_stage | second_stage
        # Of two people, of three, of nobody.
        assert models["4.jpg"] == models["5.jpg"] == models["6.jpg"] == first_stage
        assert "small.jpg" not in models and "damaged.png" not in models
        assert result["reasons"] == {"broken": 1, "too_small": 1, "no_person": 1, "several_people": 2}
        assert filter_photos(loaded, dataset, engine=name)["measured"] == 0
        everything = filter_photos(loaded, dataset, measure_all=True, engine=name)
        assert everything["measured"] == 4 and everything["kept"] == result["kept"] == 4
        assert set(map(frozenset, measured_by(dataset).values())) == {frozenset(first_stage | second_stage)}

    def test_an_interrupted_run_resumes_to_the_same_measurements(
        self, name: str, collected: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "CHUNK", 2)
        monkeypatch.setattr(ray_cluster, "CHUNK", 2)
        (_, uninterrupted), (_, interrupted) = collected(), collected()
        measure(name, uninterrupted, Hashes)
        victim = rows(uninterrupted)["hashes"][5][0]
        with pytest.raises(BolidError, match="asked to fail"):
            measure(name, interrupted, partial(Hashes, fail_at=victim))
        before = rows(interrupted)["hashes"]
        assert len(before) < len(rows(uninterrupted)["hashes"]) and victim not in [row[0] for row in before]
        measure(name, interrupted, Hashes)
        assert rows(interrupted) == rows(uninterrupted)


def test_a_killed_ray_worker_loses_nothing(cluster: None, collected: Make, tmp_path: Path) -> None:
    (_, expected), (_, killed) = collected(), collected()
    measure("local", expected, Hashes)
    victim = rows(expected)["hashes"][4][0]
    measure("ray", killed, partial(Hashes, die_at=victim, grave=tmp_path / "died"))
    assert (tmp_path / "died").exists()
    assert rows(killed) == rows(expected)


def test_a_ray_worker_that_cannot_see_the_store_says_so(
    cluster: None, collected: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset = collected()
    monkeypatch.setattr(dataset.store, "locate", lambda sha256: Path("/elsewhere") / sha256)
    with pytest.raises(BolidError, match="shared file system"):
        measure("ray", dataset, Hashes)
    with dataset.catalog.open(read_only=True) as con:
        assert con.execute("SELECT count(*) FROM undecodable").fetchone() == (0,)


def test_without_ray_the_message_says_how_to_get_it(collected: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, dataset = collected()
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(UsageError, match=r"pip install 'bolid\[ray\]'"):
        measure("ray", dataset, Hashes)


def test_engines_and_addresses_that_do_not_exist(collected: Make) -> None:
    loaded, dataset = collected()
    with pytest.raises(UsageError, match="no such engine"):
        filter_photos(loaded, dataset, engine="abacus")
    with pytest.raises(UsageError, match="--engine ray"):
        filter_photos(loaded, dataset, address="10.0.0.1:6379")


@dataclass
class Hashes:
    """A hash measurer that fails at one photo, or whose process is killed the first time it reaches one."""

    fail_at: str = ""
    die_at: str = ""
    grave: Path = Path()

    def __call__(self) -> Mapping[str, Measurer]:
        return {"hash": self}

    def __post_init__(self) -> None:
        self._measurer = HashMeasurer()
        self.model = self._measurer.model

    def measure(self, photos: Sequence[Photo]) -> dict[str, list[dict[str, Any]]]:
        for measured in photos:
            if measured.sha256 == self.fail_at:
                raise BolidError("asked to fail")
            if measured.sha256 == self.die_at and not self.grave.exists():
                self.grave.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self._measurer.measure(photos)


def measure(name: str, dataset: Dataset, make: Callable[[], Hashes]) -> None:
    hashes = make()
    job = local.plan(dataset.catalog, [hashes], [], (0, 0), None)
    if name == "ray":
        ray_cluster.measure(dataset.catalog, dataset.store, job, hashes)
    else:
        local.measure(dataset.catalog, dataset.store, job)


def test_compiling_a_network_sends_no_telemetry(tmp_path: Path) -> None:
    code = """
import sys, torch
from bolid_data.curate.runtime import Network
from bolid_data.weights import Weights
network = Network(torch.nn.ReLU, Weights("relu", None, "0", ""), torch.zeros(1, 2), (1, 2), "cpu")
assert network(torch.tensor([[-1.0, 2.0]]))[0].tolist() == [[0.0, 2.0]]
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
"""
    home = os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]  # no telemetry id is written
    assert len(list(tmp_path.glob("cache/bolid/networks/*/network.xml"))) == 1


def test_threads_may_use_a_network_at_once(tmp_path: Path) -> None:
    """OpenVINO initialises itself at first use, where two threads could deadlock."""
    code = """
import faulthandler, sys, threading, torch
from bolid_data.curate.runtime import Network
from bolid_data.weights import Weights
threads = int(sys.argv[1])
network = Network(torch.nn.ReLU, Weights("relu", None, "0", ""), torch.zeros(1, 2), (-1, 2), "cpu")
batch = torch.tensor([[-1.0, 2.0]] * 2)
together = threading.Barrier(threads)
def begin():
    together.wait()
    print(network(batch)[0].tolist())
sys.setswitchinterval(1e-6)  # so that they collide
faulthandler.dump_traceback_later(60, exit=True)
all_threads = [threading.Thread(target=begin) for _ in range(threads)]
[thread.start() for thread in all_threads]
[thread.join() for thread in all_threads]
"""
    home = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    for threads in (1, 4):  # the first run also compiles
        command = [sys.executable, "-c", code, str(threads)]
        done = subprocess.run(command, env=home, capture_output=True, text=True)
        assert (done.returncode, done.stdout.count("[[0.0, 2.0], [0.0, 2.0]]")) == (0, threads), done.stderr

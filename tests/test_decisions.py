"""A session of decisions by hand, by the command line with real models: the log, and what every other command makes of
it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bolid_data.dataset import Dataset
from bolid_data.shard_index import ShardIndex
from tests.bolid_data.shards.test_forget import mentions
from tests.support import commands
from tests.support.clean_photos import clean_photos
from tests.support.commands import Done

PEOPLE, PHOTOS = ("anna", "berta", "cleo"), 4
MANIFEST = """
name = "mine"
[source]
kind = "folder"
path = "photos"
[filter]
min_photos_per_person = 1
max_watermark = 1.0
[shards]
splits = { train = 1.0 }
[train]
method = "ip-adapter"
batch_size = 1
views = 2
"""


def bolid(command: str, home: Path, *arguments: str | Path) -> Done:
    return commands.bolid(command, "m.toml", *arguments, "--data", "data", cwd=home)


def run(command: str, home: Path, *arguments: str | Path) -> Any:
    done = bolid(command, home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three people with shards and a run."""
    home = tmp_path_factory.mktemp("built")
    for person, files in zip(PEOPLE, clean_photos(len(PEOPLE), PHOTOS), strict=True):
        (home / "photos" / person).mkdir(parents=True)
        for number, data in enumerate(files):
            (home / "photos" / person / f"{person[0]}{number}.jpg").write_bytes(data)
    (home / "m.toml").write_text(MANIFEST)
    assert bolid("dataset", home).returncode == 0
    assert bolid("train", home, "--steps", "1").returncode == 0
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "home", copy_function=shutil.copy2)
    return tmp_path / "home"


def listed(home: Path, *options: str) -> dict[str, dict[str, Any]]:
    return {photo["file"]: photo for photo in run("list", home, *options)["photos"]}


def shards(home: Path) -> dict[str, str]:
    """The person of every photo in the shards."""
    return {row["sha256"]: row["person"] for row in ShardIndex(home / "data" / "shards" / "index.duckdb").samples()}


def log(home: Path) -> list[tuple[str, str, str, bool]]:
    entries = run("decisions", home)["decisions"]
    assert all(entry["who"] and entry["decided_at"] for entry in entries)
    return [(entry["what"], entry["person"], entry["why"], entry["undone"]) for entry in entries]


def test_a_session_of_decisions(home: Path) -> None:
    before = listed(home)
    assert {photo["kept"] for photo in before.values()} == {True}
    assert set(next(iter(before.values()))) == {"person", "sha256", "file", "kept", "reasons", "caption", "margins"}
    a0, a1, a2 = (before[f"anna/a{number}.jpg"]["sha256"] for number in range(3))
    b0 = before["berta/b0.jpg"]["sha256"]

    # A rejection: by file name; the photo is out at once, and what was built from it is stale.
    done = bolid("reject", home, "a0.jpg", "--why", "a passer-by")
    assert done.returncode == 0, done.stderr
    assert "anna/a0.jpg" in done.stdout and "out: rejected" in done.stdout
    assert "runs/ip-adapter is stale" in done.stderr
    assert "next: bolid shard m.toml --data data" in done.stderr
    assert listed(home, "--reason", "rejected").keys() == {"anna/a0.jpg"}
    status = run("status", home)
    assert (status["stale"]["reasons"], status["decisions"]) == ({"rejected": 1}, 1)
    assert bolid("verify", home).returncode == 1
    assert bolid("train", home, "--steps", "1", "--run", "next").returncode == 1

    # An assignment, by path and by digits; from now on the photos are berta's everywhere.
    result = run("assign", home, home / "photos" / "anna" / "a1.jpg", a2[:10], "Berta", "--why", "her sister")
    assert {(photo["person"], photo["kept"]) for photo in result["photos"]} == {("berta", True)}
    assert run("status", home)["stale"]["reasons"] == {"rejected": 1, "reassigned": 2}
    counts = {row["person"]: (row["stored"], row["kept"]) for row in run("status", home)["people"]}
    assert counts == {"anna": (2, 1), "berta": (6, 6), "cleo": (4, 4)}
    problems = {
        entry["file"]: entry["problem"] for entry in json.loads(bolid("verify", home, "--json").stdout)["problems"]
    }
    assert problems == {"dataset.lock.json": "stale", "shards/train-000000.tar": "stale"}

    # Sharding follows; a run that saw the photos as anna's stays stale, one that saw them as berta's is not.
    assert run("shard", home)["samples"] == 11
    assert (a0 in shards(home), shards(home)[a1], shards(home)[b0]) == (False, "berta", "berta")
    assert bolid("verify", home).returncode == 0
    assert not list(home.glob("data/features/*/anna")), "anna's features were computed from photos that are not hers"
    assert bolid("train", home, "--steps", "1", "--run", "second").returncode == 0
    status = run("status", home)
    assert (status["stale"]["runs"], status["decisions"]) == (["ip-adapter"], 0)

    # A second thought: the last command is undone, then the one before; the log keeps all.
    undone = run("undo", home)
    assert sorted(entry["sha256"] for entry in undone["undone"]) == sorted([a1, a2])
    assert {photo["person"] for photo in undone["photos"]} == {"anna"}
    stale = run("status", home)["stale"]
    assert (stale["reasons"], stale["runs"]) == ({"reassigned": 2}, ["ip-adapter", "second"])
    assert bolid("undo", home).returncode == 0
    assert bolid("undo", home).returncode == 2
    assert listed(home) == before
    assert log(home) == [
        ("reject", "anna", "a passer-by", True),
        ("assign", "berta", "her sister", True), ("assign", "berta", "her sister", True),
        ("undo", "berta", "", False), ("undo", "berta", "", False), ("undo", "anna", "", False),
    ]  # fmt: skip
    run("shard", home)
    assert shards(home) == {photo["sha256"]: photo["person"] for photo in before.values()}
    stale = run("status", home)["stale"]
    assert (stale["photos"], stale["runs"]) == (0, ["second"]), "the first run saw every photo as what it is again"


def test_decisions_survive_a_crawl_a_rebuild_and_a_repair(home: Path) -> None:
    a0 = listed(home)["anna/a0.jpg"]["sha256"]
    run("reject", home, "c0.jpg", "--why", "not her")
    run("assign", home, "a0.jpg", "Dora Neu", "--new")
    run("reject", home, "b3.jpg")
    run("undo", home, "b3.jpg")
    assert run("dataset", home)["shard"]["people"] == 4, "a crawl of the folder changes nothing of it"
    expected = {"anna/a0.jpg": ("dora_neu", True), "cleo/c0.jpg": ("cleo", False), "berta/b3.jpg": ("berta", True)}

    def decided(data: str) -> dict[str, tuple[str, bool]]:
        done = commands.bolid("list", "m.toml", "--json", "--data", data, cwd=home)
        rows = {row["file"]: (row["person"], row["kept"]) for row in json.loads(done.stdout)["photos"]}
        return {file: rows[file] for file in expected}

    assert decided("data") == expected
    rebuilt = commands.bolid("rebuild", "data/dataset.lock.json", "--folder", "photos", "--data", "again", cwd=home)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert decided("again") == expected
    for name in ("train-000000.tar",):
        assert (home / "again" / "shards" / name).read_bytes() == (home / "data" / "shards" / name).read_bytes()
    lock = json.loads((home / "data" / "dataset.lock.json").read_text())
    assert "dora_neu" in [row["person"] for row in lock["people"]]
    (home / "data" / "catalog.duckdb").unlink()
    assert bolid("repair", home).returncode == 0
    assert bolid("verify", home).returncode == 0
    assert bolid("filter", home, "--rejudge").returncode == 0
    assert decided("data") == expected
    assert [entry[:3] for entry in log_of(home)] == [("assign", "dora_neu", ""), ("reject", "cleo", "not her")]
    (home / "photos" / "anna" / "a0.jpg").unlink()
    assert bolid("scrape", home).returncode == 0
    withdrawn = Dataset(home / "data").catalog.consent.withdrawn()
    assert ("dora_neu", "gone") in {(row.person, row.reason) for row in withdrawn if row.sha256 == a0}


def test_a_photo_that_was_too_small_to_be_measured_is_measured_once_it_is_kept(home: Path) -> None:
    small = home / "photos" / "berta" / "small.jpg"
    with Image.open(home / "photos" / "berta" / "b0.jpg") as photo:
        photo.crop((0, 0, photo.width, 900)).save(small)
    assert bolid("dataset", home).returncode == 0
    assert listed(home)["berta/small.jpg"]["reasons"] == ["too_small"]
    result = run("keep", home, small, "--why", "nothing is missing")
    assert result["photos"][0]["kept"] is None
    assert result["next"] == [f"bolid {step} m.toml --data data" for step in ("filter", "caption", "shard")]
    for step in ("filter", "caption", "shard"):
        assert bolid(step, home).returncode == 0
    photo = listed(home)["berta/small.jpg"]
    assert (photo["kept"], photo["margins"]["too_small"], bool(photo["caption"])) == (True, -100, True)
    assert photo["sha256"] in shards(home)
    assert bolid("verify", home).returncode == 0


def log_of(home: Path) -> list[tuple[str, str, str]]:
    entries = run("decisions", home)["decisions"]
    return sorted((entry["what"], entry["person"], entry["why"]) for entry in entries)


@pytest.mark.parametrize(("forgotten", "sharded"), [("anna", False), ("anna", True), ("berta", True)])
def test_forgetting_either_person_of_an_assignment_takes_the_photo_and_the_entries(
    home: Path, forgotten: str, sharded: bool
) -> None:
    files = {photo: (home / "photos" / photo).read_bytes() for photo in listed(home)}
    run("assign", home, "a0.jpg", "berta", "--why", "Anna says that it is Berta")
    run("reject", home, "c0.jpg", "--why", f"this is {forgotten.title()}'s dog")
    run("keep", home, "c1.jpg", "--why", "a good one")
    if sharded:
        assert bolid("dataset", home).returncode == 0
    theirs = [data for file, data in files.items() if file.startswith(forgotten) or file == "anna/a0.jpg"]
    shutil.rmtree(home / "data" / "runs")
    assert bolid("forget", home, forgotten, "--yes").returncode == 0
    assert mentions(home / "data", forgotten, forgotten.title(), theirs) == []
    assert log_of(home) == [("keep", "cleo", "a good one"), ("reject", "cleo", None)]
    assert bolid("dataset", home).returncode == 0
    assert mentions(home / "data", forgotten, forgotten.title(), theirs) == []
    assert bolid("verify", home).returncode == 0


def test_a_photo_that_was_assigned_to_somebody_else_again_stays_when_the_first_is_forgotten(home: Path) -> None:
    a0 = listed(home)["anna/a0.jpg"]["sha256"]
    run("assign", home, "a0.jpg", "berta")
    assert bolid("dataset", home).returncode == 0
    run("assign", home, "a0.jpg", "cleo")
    shutil.rmtree(home / "data" / "runs")
    assert bolid("forget", home, "berta", "--yes").returncode == 0
    assert mentions(home / "data", "berta", "Berta", []) == []
    assert bolid("dataset", home).returncode == 0
    assert shards(home)[a0] == "cleo"


def test_what_cannot_be_decided_says_so(home: Path) -> None:
    shutil.copyfile(home / "photos" / "anna" / "a0.jpg", home / "photos" / "berta" / "copy.jpg")
    (home / "photos" / "berta" / "a1.jpg").write_bytes((home / "photos" / "berta" / "b1.jpg").read_bytes())
    assert bolid("scrape", home).returncode == 0
    for arguments, message in [
        (("keep", "copy.jpg"), "is listed for anna and berta; say with `bolid assign` whose photo it is"),
        (("reject", "a1.jpg"), "several photos have this name: anna/a1.jpg"),
        (("reject", "nothing.jpg"), "no photo of this dataset has this sha256, path or name"),
        (("assign", "a0.jpg", "zora"), "nobody has this slug or name"),
        (("undo",), "nothing was decided"),
    ]:
        done = bolid(arguments[0], home, *arguments[1:])
        assert done.returncode == 2 and message in done.stderr, done.stderr
    assert run("decisions", home) == {"decisions": []}
    run("assign", home, "copy.jpg", "berta")
    assert run("filter", home, "--rejudge")["reasons"].get("two_names", 0) == 0, "it has one name now"
    assert bolid("forget", home, "cleo", "--yes").returncode == 0
    assert "was removed from this dataset" in bolid("assign", home, "a2.jpg", "cleo", "--new").stderr

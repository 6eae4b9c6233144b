"""What a person meets: exit codes, one clear line on stderr, JSON on stdout."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock, Timeout

from tests.support.disks import mounted
from tests.support.gallery_site import Site, photo, serve

FOLDER = 'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n[filter]\nmin_width = 10\nmin_height = 10\n'


def bolid(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "200", "HF_HUB_OFFLINE": "1"} | more
    command = [sys.executable, "-m", "bolid", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def fails(result: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("bolid: error: ")]
    assert len(lines) == 1, result.stderr
    assert message in lines[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "m.toml").write_text(FOLDER)
    for person in ("anna", "berta"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "photos" / person / f"{i}.jpg").write_bytes(photo(hash(person) % 1000 + i))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "scrape",
        "filter",
        "caption",
        "shard",
        "dataset",
        "status",
        "explain",
        "verify",
        "rebuild",
        "gallery",
        "train",
        "generate",
    ],
)
def test_help_teaches_and_is_fast(command: str, tmp_path: Path) -> None:
    began = time.monotonic()
    result = bolid(command, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert time.monotonic() - began < 10, "no model's library is imported for --help"


def test_the_version_and_completion(tmp_path: Path) -> None:
    assert bolid("--version", cwd=tmp_path).stdout == f"bolid {version('bolid')}\n"
    words = {"COMP_WORDS": "bolid sc", "COMP_CWORD": "1"}
    script = subprocess.run(
        [Path(sys.executable).with_name("bolid")],
        env=os.environ | {"_BOLID_COMPLETE": "complete_bash"} | words,
        capture_output=True,
        text=True,
    )
    assert script.stdout.split() == ["scrape", "schema"]


@pytest.mark.parametrize("command", ["scrape", "filter", "caption", "shard", "dataset", "status", "verify", "train"])
def test_a_missing_or_wrong_manifest_is_bad_usage(command: str, tmp_path: Path) -> None:
    fails(bolid(command, "none.toml", cwd=tmp_path), 2, "none.toml: no such manifest")
    (tmp_path / "m.toml").write_text(FOLDER + "min_heigth = 3\n")
    fails(bolid(command, "m.toml", cwd=tmp_path), 2, "m.toml:8: filter.min_heigth: no such key")


@pytest.mark.parametrize("command", ["filter", "caption", "shard", "status", "verify"])
def test_a_step_too_early_says_what_comes_first(command: str, home: Path) -> None:
    fails(bolid(command, "m.toml", cwd=home), 2, "run `bolid s")


def test_scrape_speaks_json_on_stdout_and_people_on_stderr(home: Path) -> None:
    result = bolid("scrape", "m.toml", "--json", cwd=home)
    assert result.returncode == 0
    assert json.loads(result.stdout)["new"] == 4
    assert "2 people, 4 photos" in result.stderr
    status = json.loads(bolid("status", "m.toml", "--json", cwd=home).stdout)
    assert status["total"]["stored"] == 4
    assert [row["person"] for row in status["people"]] == ["anna", "berta"]
    text = bolid("status", "m.toml", cwd=home).stdout
    assert "`bolid filter` for 4 photos" in text


def test_a_missing_folder_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(FOLDER)
    fails(bolid("scrape", "m.toml", cwd=tmp_path), 2, "photos: no such folder")


def test_an_unreachable_site_fails(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('name = "x"\n[source]\nkind = "theplace"\nbase_url = "http://127.0.0.1:9"\n')
    fails(bolid("scrape", "m.toml", cwd=tmp_path), 1, "http://127.0.0.1:9/photos/: ")


def test_an_unknown_model_or_engine_is_bad_usage(home: Path) -> None:
    bolid("scrape", "m.toml", cwd=home)
    (home / "m.toml").write_text(FOLDER + '[models]\npose = "yolo99"\n')
    fails(bolid("filter", "m.toml", cwd=home), 2, "'yolo99' is not known")
    fails(bolid("filter", "m.toml", "--engine", "abacus", cwd=home), 2, "no such engine")


def test_a_hub_model_that_is_missing_says_how_to_get_it(home: Path) -> None:
    bolid("scrape", "m.toml", cwd=home)
    (home / "m.toml").write_text(FOLDER + '[models]\ncaption = "Salesforce/blip2-opt-2.7b"\n')
    fails(bolid("caption", "m.toml", cwd=home), 1, "hf download Salesforce/blip2-opt-2.7b")


def test_two_commands_at_once_do_not_mix(home: Path) -> None:
    from bolid_data.dataset import Dataset

    with Dataset(home / "data" / "mine").working():
        fails(bolid("scrape", "m.toml", cwd=home), 1, "another bolid command is using it")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = bolid("status", "none.toml", "--debug", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("command", ["scrape", "filter", "caption", "shard", "dataset", "repair"])
def test_ctrl_c_promises_that_the_command_continues(command: str, home: Path) -> None:
    bolid("scrape", "m.toml", cwd=home)
    data = home / "data" / "mine"
    working = FileLock(data / ".working", blocking=False)

    def is_working() -> bool:
        try:
            with working:
                return False
        except Timeout:
            return True

    with duckdb.connect(str(data / "catalog.duckdb")):  # for which the command waits, so that it is in its middle
        process = subprocess.Popen(
            [sys.executable, "-m", "bolid", command, "m.toml"],
            cwd=home,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.PIPE,
            text=True,
            # A shell that runs the tests in the background has them ignore Ctrl-C, and their processes with them.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        while process.poll() is None and not is_working():
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.splitlines()[-1] == "bolid: error: stopped; finished work is kept, and the same command continues"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with mounted(tmp_path / "disk", "2m") as disk:
        yield disk


@pytest.mark.parametrize("kind", ["folder", "theplace"])
def test_a_full_disk_loses_nothing(kind: str, home: Path, small_disk: Path) -> None:
    photos = [photo(i, 900, 700) for i in range(8)]
    for i, data in enumerate(photos):
        (home / "photos" / "anna" / f"large{i}.jpg").write_bytes(data)
    with serve(Site({"anna": photos})) as site:
        if kind == "theplace":
            source = f'kind = "theplace"\nbase_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0\n'
            (home / "m.toml").write_text(f'name = "mine"\n[source]\n{source}')
        data = small_disk / "data"
        fails(bolid("scrape", "m.toml", "--data", data, cwd=home), 1, "No space left on device")
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        again = bolid("scrape", "m.toml", "--data", data, cwd=home)
    assert again.returncode == 0, again.stderr
    status = json.loads(bolid("status", "m.toml", "--data", data, "--json", cwd=home).stdout)
    assert status["total"]["stored"] == (12 if kind == "folder" else 8)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "latin-1", "C locale"],
)
def test_output_never_dies_of_an_encoding(environment: dict[str, str], home: Path) -> None:
    (home / "photos" / "anna").rename(home / "photos" / "张伟 😀")
    assert bolid("scrape", "m.toml", cwd=home).returncode == 0
    told = bolid("status", "m.toml", cwd=home, **environment)
    assert told.returncode == 0, told.stderr
    assert "zhangwei" in told.stdout
    told = bolid("status", "m.toml", "--json", cwd=home, **environment)
    assert "\\u5f20\\u4f1f \\ud83d\\ude00" in told.stdout
    assert json.loads(told.stdout) == json.loads(bolid("status", "m.toml", "--json", cwd=home).stdout)
    (home / "m.toml").write_text(FOLDER.replace("photos", "фото"), encoding="utf-8")
    fails(bolid("scrape", "m.toml", cwd=home, **environment), 2, r"\u0444\u043e\u0442\u043e")

"""`bolid doctor`: what is in the way is a problem and exit code 1; what to do comes last."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bolid.options import note_synthetic
from bolid_data import weights
from bolid_train.settings import load
from tests.support import commands
from tests.support.gallery_site import photo
from tests.support.paths import ROOT

FOLDER = 'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n'
HUB = '[models]\ncaption = "somebody/captioner"\n'


def bolid(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because the hub's library reads its environment when it is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(cwd / "hub")} | more
    command = [sys.executable, "-m", "bolid", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def checks(done: Any, name: str) -> list[tuple[str, str]]:
    return [(check["state"], check["text"]) for check in json.loads(done.stdout)["checks"] if check["name"] == name]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "m.toml").write_text(FOLDER)
    (tmp_path / "photos" / "ana").mkdir(parents=True)
    for index in range(3):
        (tmp_path / "photos" / "ana" / f"{index}.jpg").write_bytes(photo(index))
    return tmp_path


def test_a_machine_without_a_manifest(home: Path) -> None:
    done = bolid("doctor", cwd=home, HF_TOKEN="hf_very_secret")
    assert done.returncode == 0, done.stdout
    assert {line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok")} >= {
        "installation", "extras", "accelerator", "memory", "hub", "disk",
    }  # fmt: skip
    assert f"a token is set; cache {home / 'hub' / 'hub'}" in done.stdout
    assert "very_secret" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "next: bolid init, or bolid dataset demo"


def test_a_manifest_its_models_and_what_it_costs(home: Path) -> None:
    done = bolid("doctor", "m.toml", "--json", cwd=home)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    assert ("ok", "photos has photos of 1 person") in checks(done, "source")
    assert ("ok", "models.pose = yolo11n-pose, which ships") in checks(done, "models")
    assert ("warning", "train.base = small-sdxl draws synthetic people only, never the person") in checks(
        done, "models"
    )
    size = sum(file.stat().st_size for file in (home / "photos").rglob("*.jpg"))
    cost = result["cost"]
    assert (cost["photos"], cost["exact"], cost["photo_bytes"], cost["shard_bytes"]) == (3, True, size, size)
    assert not (home / "data").exists(), "nothing is written"


@pytest.mark.parametrize("base", weights.BASES)
def test_the_bases_that_ship_draw_synthetic_people_only(
    base: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "m.toml").write_text(f'{FOLDER}[train]\nbase = "{base}"\nimage_encoder = "clip-bodies"\n')
    done = commands.bolid("doctor", "m.toml", "--json", cwd=home)
    said = "draws synthetic people only, never the person"
    assert ("warning", f"train.base = {base} {said}") in checks(done, "models")
    assert "SDXL" not in str(checks(done, "accelerator"))
    note_synthetic(load(home / "m.toml"))
    assert f"note: the base {base} {said}" in capsys.readouterr().err


def test_the_features_of_sdxl_take_half_a_megabyte_per_photo(home: Path) -> None:
    sdxl = '[train]\nbase = "somebody/sdxl"\nresolution = 1024\nview_resolution = 512\n'
    (home / "m.toml").write_text(FOLDER + sdxl)
    cost = json.loads(bolid("doctor", "m.toml", "--json", cwd=home).stdout)["cost"]
    # docs/training.md: latents 131 kB, prompt 315 kB, a view's latents 33 kB
    assert cost["feature_bytes"] == 3 * 2 * (4 * 128 * 128 + 77 * 2048 + 4 * 64 * 64)
    text = bolid("doctor", "m.toml", cwd=home).stdout
    assert "1.4 MB of features; calculated from the settings, not measured" in text


@pytest.mark.parametrize(
    ("change", "problem", "todo"),
    [
        (("photos", "fotos"), "source.path: fotos: no such folder", "correct [source] path"),
        (
            ('kind = "folder"\npath = "photos"', 'kind = "urls"\npath = "l.csv"\ncontact = "me@home.org"'),
            "l.csv: no such file",
            "correct [source] path",
        ),
        (
            ('kind = "folder"\npath = "photos"', 'kind = "theplace"\ncontact = "mailto:you@example.org"'),
            "source.contact is still the example's, mailto:you@example.org",
            "set [source] contact",
        ),
        (('"photos"\n', '"photos"\n[models]\ndevice = "cuda:9"\n'), "models.device = 'cuda:9' is not", "to auto"),
    ],
)
def test_what_is_in_the_way(change: tuple[str, str], problem: str, todo: str, home: Path) -> None:
    (home / "m.toml").write_text(FOLDER.replace(*change))
    done = commands.bolid("doctor", "m.toml", cwd=home)
    assert done.returncode == 1
    last = [line for line in done.stdout.splitlines() if line.startswith("to do: ")]
    assert len(last) == 1
    assert problem in last[0]
    assert todo in last[0]
    assert done.stderr.endswith("bolid: error: 1 problem in the way, named above\n")


def test_a_hub_model_is_here_or_to_be_fetched(home: Path) -> None:
    (home / "m.toml").write_text(FOLDER + HUB)
    done = bolid("doctor", "m.toml", cwd=home)
    assert done.returncode == 0
    assert "consider: models.caption = somebody/captioner is not on this machine; it is downloaded when" in done.stdout
    done = bolid("doctor", "m.toml", cwd=home, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "run `hf download somebody/captioner` while HF_HUB_OFFLINE is not set" in done.stdout
    repository = home / "hub" / "hub" / "models--somebody--captioner"
    (repository / "snapshots" / "c0ffee").mkdir(parents=True)
    (repository / "snapshots" / "c0ffee" / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    done = bolid("doctor", "m.toml", "--json", cwd=home, HF_HUB_OFFLINE="1")
    assert ("ok", "models.caption = somebody/captioner, in the hub's cache") in checks(done, "models")
    assert done.returncode == 0


def test_a_missing_package_names_its_extra(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without_diffusers(package: str) -> str:
        if package == "diffusers":
            raise importlib.metadata.PackageNotFoundError
        return version(package)

    monkeypatch.setattr("bolid.doctor.version", without_diffusers)
    done = commands.bolid("doctor", cwd=home)
    assert done.returncode == 1
    assert "[train] lacks diffusers, without which train, generate and evaluate may fail" in done.stdout
    assert "run `pip install 'bolid[train]'`" in done.stdout

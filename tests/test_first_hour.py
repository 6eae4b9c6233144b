"""The README's section on your own photos, command by command, on photographs of one person and of two."""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.support.commands import Done, bolid
from tests.support.paths import ROOT
from tests.support.photographs import BUS, ZIDANE

# Parts of the two photographs that show one person each: left, top, right, bottom.
ANNA = ((ZIDANE, (740, 20, 1160, 720)), (ZIDANE, (0, 120, 700, 720)))
BERTA = ((BUS, (205, 380, 360, 900)), (BUS, (640, 360, 810, 900)))
COMMANDS = ["init", "doctor", "dataset", "status", "report", "explain", "export", "train", "generate"]


def section() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme.split("## Your own photos\n")[1].split("\n## ")[0]


def readme_commands() -> list[list[str]]:
    lines = (line for block in section().split("```sh\n")[1:] for line in block.split("```")[0].splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if ".venv/bin/bolid" in line]


def put(home: Path, people: dict[str, tuple[tuple[Path, tuple[int, int, int, int]], ...]]) -> None:
    for person, parts in people.items():
        (home / "photos" / person).mkdir(parents=True)
        for number, (file, box) in enumerate(parts, start=1):
            with Image.open(file) as photograph:
                part = photograph.crop(box)
            part.resize((2 * part.width, 2 * part.height)).save(home / "photos" / person / f"{number}.jpg", quality=95)


def walk_through(home: Path) -> dict[str, Done]:
    """Runs the README's commands; the training, which takes a minute or two, in a few steps."""
    done = {}
    for words in readme_commands():
        if words[0] == "train":
            words[words.index("--steps") + 1] = "2"
        done[words[0]] = bolid(words[0], *words[1:], cwd=home)
        assert done[words[0]].returncode == 0, done[words[0]].stderr
        assert done[words[0]].stderr.splitlines()[-1].startswith("next: "), done[words[0]].stderr
        if words[0] == "init":
            with (home / "photos.toml").open("a", encoding="utf-8") as manifest:
                manifest.write("encoder_steps = 1\nprior_steps = 1\n")
    return done


def test_the_readme_names_the_commands_and_says_what_the_base_draws() -> None:
    assert [words[0] for words in readme_commands()] == COMMANDS
    assert "synthetic people only" in section()
    assert "synthetic people only" in (ROOT / "manifests" / "own-photos.toml").read_text(encoding="utf-8")


def test_one_person_and_no_hub(tmp_path: Path) -> None:
    put(tmp_path, {"anna": ANNA})
    done = walk_through(tmp_path)
    assert "shard: 2 photos of 1 person in 1 shard\n" in done["dataset"].stderr
    assert "consider: train.base = small-sdxl draws synthetic people only" in done["doctor"].stdout
    for command in ("dataset", "train", "generate"):
        assert "note: the base small-sdxl draws synthetic people only" in done[command].stderr
    assert "result: data/photos/shards\n" in done["dataset"].stderr
    assert re.search(r"next: bolid generate photos.toml --prompt ", done["train"].stderr)
    assert "kept" in done["status"].stdout
    assert len(list((tmp_path / "for-kohya").rglob("*.txt"))) == 2
    with Image.open(tmp_path / "anna.png") as image:
        assert image.size == (64, 64)
    assert json.loads((tmp_path / "data/photos/runs/bolid/adapter.json").read_text())["base"] == "small-sdxl"


def test_two_people(tmp_path: Path) -> None:
    put(tmp_path, {"anna": ANNA, "berta": BERTA[:1]})
    done = walk_through(tmp_path)
    assert "shard: 3 photos of 2 people in 1 shard\n" in done["dataset"].stderr
    assert "shard: berta has only one photo; most methods need a second one of each person" in done["dataset"].stderr
    assert "held out" not in done["dataset"].stderr


@pytest.mark.slow
def test_every_other_command_ends_with_what_comes_next(tmp_path: Path) -> None:
    put(tmp_path, {"anna": ANNA, "berta": BERTA[:1]})
    bolid("init", "photos", cwd=tmp_path)
    lock, rebuilt = "data/photos/dataset.lock.json", ("--data", "rebuilt", "--folder", "photos")
    steps: list[tuple[str, ...]] = [
        ("scrape", "photos.toml"),
        ("filter", "photos.toml"),
        ("caption", "photos.toml"),
        ("caption", "photos.toml", "--set", "anna/1.jpg", "a man in a suit"),
        ("caption", "photos.toml", "--export", "captions"),
        ("shard", "photos.toml"),
        ("filter", "photos.toml", "--rejudge"),
        ("verify", "photos.toml"),
        ("rebuild", lock, *rebuilt),
        ("list", "photos.toml"),
        ("list", "photos.toml", "--out", "photos.csv"),
        ("reject", "photos.toml", "anna/2.jpg", "--why", "blurred"),
        ("decisions", "photos.toml"),
        ("undo", "photos.toml"),
        ("keep", "photos.toml", "anna/2.jpg", "--why", "sharp enough"),
        ("assign", "photos.toml", "anna/2.jpg", "berta"),
        ("repair", "photos.toml"),
        ("forget", "photos.toml", "berta", "--yes"),
        ("forget", "photos.toml", "berta", "--yes"),
        ("schema",),
    ]
    for command, *arguments in steps:
        for as_json in ([], ["--json"]) if command not in ("schema", "forget", "undo") else ([],):
            if "--out" in arguments and as_json:
                continue
            done = bolid(command, *arguments, *as_json, cwd=tmp_path)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert done.stderr.splitlines()[-1].startswith("next: "), f"{command}: {done.stderr}"
            if as_json:
                json.loads(done.stdout)


def test_who_is_held_out_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"anna": ANNA, "berta": BERTA[:1]})
    bolid("init", "photos", cwd=tmp_path)
    path = tmp_path / "photos.toml"
    path.write_text(path.read_text().replace("{ train = 1.0 }", '{ train = ["nobody"], val = ["anna", "berta"] }', 1))
    done = bolid("dataset", "photos.toml", "--json", cwd=tmp_path)
    assert "shard: held out in split 'val': anna, berta" in done.stderr
    assert "shard: nobody is in split 'train', which `bolid train` uses" in done.stderr
    assert json.loads(done.stdout)["shard"]["splits"] == {"train": 0, "val": 2}
    with pytest.raises(StopIteration):
        next((tmp_path / "data" / "photos" / "shards").glob("train-*.tar"))

"""Captions by a worker in another environment: a small program that dies on purpose, and LAVIS itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bolid_data.curate.captions import lavis
from bolid_data.curate.captions.captioner import Captioner, CaptionError
from bolid_data.curate.captions.lavis import LavisCaptioner
from bolid_data.curate.captions.registry import load_captioner
from bolid_data.curate.captions.run import caption_photos
from bolid_data.curate.judge import judge
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.errors import BolidError, UsageError
from bolid_data.manifest import CaptionSettings, Filter, load
from tests.support.measured_dataset import MODELS, World, jpeg

TINY = Path(__file__).with_name("tiny_lavis.py")
WORDS = {"a", "photo", "of", "person", "woman", "man", "in", "red", "blue", "dress", "coat", "with", "hair", "the"}

# Answers like `lavis_worker.py`. Photos are distinguished by width: 66 kills it, 67 kills it once, 68 makes it hang.
FRAGILE = """
import json, os, sys, time
from multiprocessing.connection import Connection
from pathlib import Path
pipe = Connection(int(sys.argv[-1]))
setup = json.loads(pipe.recv_bytes())
home = Path(setup["model_type"]).parent
with (home / "starts").open("a") as file:
    file.write(f"{os.getpid()}\\n")
if setup["model"] == "wrong" or (home / "full").exists():
    pipe.send_bytes(json.dumps({"error": "OSError: no space"}).encode())
    raise SystemExit
pipe.send_bytes(json.dumps({"version": "9", "sha256": "ab"}).encode())
while True:
    sizes = json.loads(pipe.recv_bytes())["sizes"]
    colours = [tuple(pipe.recv_bytes()[:3]) for _ in sizes]
    for width, _ in sizes:
        if width == 66 or (width == 67 and not (home / "died").exists()):
            (home / "died").touch()
            print("CUDA out of luck", flush=True)
            os.kill(os.getpid(), 9)
        if width == 68:
            time.sleep(600)
    captions = [f"a photo a photo {w} wide of {c}" for (w, _), c in zip(sizes, colours)]
    pipe.send_bytes(json.dumps({"captions": captions}).encode())
"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces LAVIS by the small program. Returns the folder in which it records its starts."""
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (environment / ".ready").touch()
    (tmp_path / "program.py").write_text(FRAGILE)
    monkeypatch.setattr(lavis, "ENVIRONMENT", environment)
    monkeypatch.setattr(lavis, "PROGRAM", tmp_path / "program.py")
    return tmp_path


def fragile_captioner(folder: Path, **settings: object) -> LavisCaptioner:
    return LavisCaptioner("fragile", "any.yaml", CaptionSettings(), relative_to=folder, **settings)  # type: ignore[arg-type]


def photo(width: int, colour: tuple[int, int, int] = (1, 2, 3)) -> Photo:
    return Photo(str(width), Image.new("RGB", (width, 9), colour))


def starts(folder: Path) -> int:
    return len((folder / "starts").read_text().split())


def test_photos_reach_the_worker_and_captions_come_back_tidied(fragile: Path) -> None:
    captioner = fragile_captioner(fragile)
    assert captioner.caption([photo(10), photo(20, (9, 8, 7))], [None, None]) == [
        "a photo 10 wide of (1, 2, 3)",
        "a photo 20 wide of (9, 8, 7)",
    ]
    assert captioner.model.name == "lavis:fragile/any.yaml" and captioner.model.sha256 == "ab"


def test_a_dead_worker_is_reported_and_restarted(fragile: Path) -> None:
    captioner = fragile_captioner(fragile)
    with pytest.raises(CaptionError, match=r"lavis:fragile/any.yaml: its worker was killed.*CUDA out of luck"):
        captioner.caption([photo(66)], [None])
    assert captioner.caption([photo(10)], [None]) == ["a photo 10 wide of (1, 2, 3)"]
    assert starts(fragile) == 2


def test_a_worker_killed_between_two_batches_costs_nothing(fragile: Path) -> None:
    captioner = fragile_captioner(fragile)
    os.kill(int((fragile / "starts").read_text()), 9)
    time.sleep(0.2)
    assert captioner.caption([photo(10)], [None]) == ["a photo 10 wide of (1, 2, 3)"]


def test_a_worker_that_hangs_is_killed(fragile: Path) -> None:
    captioner = fragile_captioner(fragile, timeout=3)
    with pytest.raises(CaptionError, match="gave no answer for 3 s"):
        captioner.caption([photo(68)], [None])
    assert captioner.caption([photo(10)], [None]) == ["a photo 10 wide of (1, 2, 3)"]


def test_a_worker_that_cannot_be_restarted_ends_the_run(fragile: Path) -> None:
    captioner = fragile_captioner(fragile)
    (fragile / "full").touch()
    with pytest.raises(CaptionError):
        captioner.caption([photo(66)], [None])
    with pytest.raises(BolidError, match="cannot be loaded: OSError: no space") as caught:
        captioner.caption([photo(10)], [None])
    assert not isinstance(caught.value, CaptionError)


def test_a_run_records_the_photo_that_kills_the_worker_and_captions_all_others(fragile: Path) -> None:
    world = World(fragile / "data")
    by_width = {w: world.photo("p", w, 70, data=jpeg(w, w, 70)) for w in (10, 20, 30, 66, 67)}
    judge(world.dataset.catalog, Filter(min_width=1, min_height=1, min_photos_per_person=1), MODELS)
    manifest = fragile / "m.toml"
    manifest.write_text(
        'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n[models]\ncaption = "lavis:fragile/any.yaml"\n'
    )
    result = caption_photos(load(manifest), world.dataset)
    assert (result["captioned"], result["failed"]) == (4, 1)
    with world.dataset.catalog.open(read_only=True) as con:
        ((failed, error),) = con.execute("SELECT sha256, error FROM uncaptioned").fetchall()
        captions = dict(con.execute("SELECT sha256, caption FROM captions").fetchall())
    assert failed == by_width[66] and "its worker was killed (out of memory?)" in error
    assert {w: captions[s].split(" of ")[0] for w, s in by_width.items() if w != 66} == {
        w: f"a photo {w} wide" for w in (10, 20, 30, 67)
    }


def test_without_the_environment_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    World(tmp_path / "data" / "mine")
    manifest = 'name = "mine"\n[source]\nkind = "folder"\npath = "."\n[models]\ncaption = "lavis:blip2_opt/any"\n'
    (tmp_path / "m.toml").write_text(manifest)
    program = f"""
from pathlib import Path
from bolid import cli
from bolid_data.curate.captions import lavis
lavis.ENVIRONMENT = Path({str(tmp_path)!r})
cli.main()
"""
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "300"}
    command = [sys.executable, "-c", program, "caption", "m.toml"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "run `make lavis`" in result.stderr and len(result.stderr.splitlines()) == 1


def test_lavis_chooses_its_own_precision(fragile: Path) -> None:
    with pytest.raises(UsageError, match=r"caption\.dtype is bfloat16"):
        LavisCaptioner("fragile", "any.yaml", CaptionSettings(dtype="bfloat16"), relative_to=fragile)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """A tiny Blip2OPT of random weights, by the name `lavis:…` in a manifest."""
    if not (lavis.ENVIRONMENT / ".ready").is_file():
        pytest.skip("the LAVIS environment is missing; `make lavis` installs it")
    folder = tmp_path_factory.mktemp("lavis")
    (folder / "m.toml").write_text(
        'name = "mine"\n[source]\nkind = "folder"\npath = "."\n'
        '[models]\ncaption = "lavis:blip2_opt/tiny.yaml"\ndevice = "cpu"\n[caption]\nmax_new_tokens = 12\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lavis, "PROGRAM", TINY)
        patch.chdir(folder)
        return load_captioner(load(folder / "m.toml"))


def pictures(count: int) -> list[Photo]:
    rng = np.random.default_rng(0)
    return [
        Photo(str(i), Image.fromarray(rng.integers(0, 256, (3 + i, 4, 3), dtype=np.uint8)).resize((40 + 9 * i, 60)))
        for i in range(count)
    ]


def test_a_blip2_of_lavis_captions_each_photo_the_same_alone_and_in_a_batch(captioner: Captioner) -> None:
    photos = pictures(6)
    together = captioner.caption(photos, [None] * 6)
    assert together == [captioner.caption([photo], [None])[0] for photo in photos]
    assert len(set(together)) > 1  # the photo is what is captioned
    assert set(" ".join(together).split()) <= WORDS  # no special token


def test_a_lavis_model_is_named_by_its_version_and_weights(captioner: Captioner) -> None:
    assert captioner.model.name == "lavis:blip2_opt/tiny.yaml"
    assert '"lavis": "1.0.2"' in captioner.model.config
    assert len(captioner.model.sha256) == 64


def test_a_type_that_lavis_does_not_have_is_told_with_those_it_has(captioner: Captioner) -> None:
    with pytest.raises(BolidError, match=r"LAVIS's 'blip2_opt' is one of pretrain_opt2\.7b, .*, not 'opt'"):
        LavisCaptioner("blip2_opt", "opt", CaptionSettings())

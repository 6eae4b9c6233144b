"""`bolid export`: every layout is read back by the reader it is for, or by its documented rules."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pytest
import webdataset
from PIL import Image

from bolid_data.dataset import Dataset
from tests.support.commands import Done, bolid
from tests.support.photographs import MANIFEST, SERIAL, ZIDANE, write_folder

CAPTIONS = {"match": "two men", "turned": "a street, ohwx", "street": "a man"}
FORMATS = ("kohya", "ai-toolkit", "diffusers", "imagefolder", "webdataset")


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("captioned")
    write_folder(home, MANIFEST.replace("train = 1.0", 'train = ["zidane"], val = ["bus"]'))
    for photo in (home / "photos").rglob("*.*"):
        photo.with_suffix(".txt").write_text(CAPTIONS[photo.stem])
    for command in ("scrape", "filter", "caption"):
        assert run(home, command).returncode == 0
    return home


@pytest.fixture
def home(captioned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(captioned, tmp_path / "home"))


def run(home: Path, command: str, *options: str | Path) -> Done:
    return bolid(command, "photos.toml", *options, "--data", "data", cwd=home)


def export(home: Path, to: str, *options: str | Path, folder: str = "out") -> Path:
    result = run(home, "export", folder, "--to", to, *options)
    assert result.returncode == 0, result.stderr
    return home / folder


def key(home: Path, file: str) -> str:
    with duckdb.connect(home / "data" / "catalog.duckdb", read_only=True) as con:
        query = "SELECT person, sha256 FROM sightings WHERE url = ?"
        ((person, sha256),) = con.execute(query, [f"file:{file}"]).fetchall()
    return f"{person}-{sha256[:16]}"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_clean(image: bytes) -> bool:
    """Whether it is an upright sRGB JPEG without metadata."""
    with Image.open(io.BytesIO(image)) as opened:
        return opened.format == "JPEG" and not opened.getexif() and SERIAL.encode() not in image


def change(home: Path, old: str, new: str) -> None:
    manifest = home / "photos.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


def read_as_kohya(folder: Path) -> list[tuple[int, str, bytes, str]]:
    """Repeats, name, image and caption of every photo, as sd-scripts reads `--train_data_dir` with `--caption_extension
    .txt`: of each subfolder named `<repeats>_<name>`, the images directly in it, each with the first line of the text
    file of its name; other folders are skipped."""
    found = []
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        repeats, _, name = subfolder.name.partition("_")
        assert repeats.isdigit(), f"{subfolder.name} would be skipped"
        for image in sorted(subfolder.iterdir()):
            if image.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".bmp"):
                caption = image.with_suffix(".txt").read_text(encoding="utf-8").splitlines()[0].strip()
                found.append((int(repeats), name, image.read_bytes(), caption))
    return found


def read_as_ai_toolkit(folder: Path) -> list[tuple[bytes, str]]:
    """Image and caption of every photo: a folder of jpg, jpeg or png files, and text files of the same names that
    contain only the caption."""
    images = [path for path in sorted(folder.iterdir()) if path.suffix in (".jpg", ".jpeg", ".png")]
    return [(image.read_bytes(), image.with_suffix(".txt").read_text(encoding="utf-8").strip()) for image in images]


def load(cache: Path, name: str, **options: Any) -> datasets.DatasetDict:
    return datasets.load_dataset(name, cache_dir=str(cache), **options)


def test_kohya(home: Path) -> None:
    photos = read_as_kohya(export(home, "kohya", "--repeats", "10", "--trigger", "ohwx"))
    assert sorted((repeats, name, caption) for repeats, name, _, caption in photos) == [
        (10, "bus", "ohwx, a man"), (10, "zidane", "a street, ohwx"), (10, "zidane", "ohwx, two men"),
    ]  # fmt: skip
    assert all(is_clean(image) for _, _, image, _ in photos)


def test_ai_toolkit(home: Path) -> None:
    photos = read_as_ai_toolkit(export(home, "ai-toolkit"))
    assert sorted(caption for _, caption in photos) == sorted(CAPTIONS.values())
    assert all(is_clean(image) for image, _ in photos)


def test_diffusers(home: Path, tmp_path: Path) -> None:
    """As its training scripts load `--train_data_dir`."""
    folder = export(home, "diffusers")
    loaded = load(tmp_path / "cache", "imagefolder", data_files={"train": f"{folder}/**"})["train"]
    assert {"image", "text"} <= set(loaded.column_names)
    assert sorted(loaded["text"]) == sorted(CAPTIONS.values())
    assert sorted(image.size for image in loaded["image"]) == [(400, 650), (680, 720), (1280, 720)]


def test_imagefolder(home: Path, tmp_path: Path) -> None:
    loaded = load(tmp_path / "cache", "imagefolder", data_dir=str(export(home, "imagefolder")))
    assert {split: sorted(rows["text"]) for split, rows in loaded.items()} == {
        "train": ["a street, ohwx", "two men"], "validation": ["a man"],
    }  # fmt: skip
    assert set(loaded["train"]["person"]) == {"zidane"}
    assert loaded["validation"][0]["image"].size == (680, 720)


def test_webdataset(home: Path, tmp_path: Path) -> None:
    folder = export(home, "webdataset", "--trigger", "sks")
    tars = sorted(folder.glob("*.tar"))
    assert [tar.name for tar in tars] == ["train-000000.tar", "val-000000.tar"]
    read = list(webdataset.WebDataset([str(tar) for tar in tars], shardshuffle=False).decode("pil"))
    assert sorted(sample["txt"] for sample in read) == ["sks, a man", "sks, a street, ohwx", "sks, two men"]
    assert sorted(sample["jpg"].size for sample in read) == [(400, 650), (680, 720), (1280, 720)]
    loaded = load(tmp_path / "cache", "webdataset", data_files={"train": [str(tar) for tar in tars]})["train"]
    assert sorted(loaded["txt"]) == sorted(sample["txt"] for sample in read)
    for tar in tars:
        with tarfile.open(tar) as members:
            images = [members.extractfile(member) for member in members if member.name.endswith(".jpg")]
            assert all(image and is_clean(image.read()) for image in images)


def test_photos_are_those_of_the_shards(home: Path) -> None:
    assert run(home, "shard").returncode == 0
    folder = export(home, "ai-toolkit")
    for tar in (home / "data" / "shards").glob("*.tar"):
        with tarfile.open(tar) as members:
            for member in members:
                if member.name.endswith(".jpg") and (file := members.extractfile(member)):
                    assert (folder / member.name).read_bytes() == file.read()
    assert (folder / f"{key(home, 'zidane/match.jpg')}.jpg").stat().st_size <= ZIDANE.stat().st_size


def test_the_last_line_says_how_to_use_it(home: Path) -> None:
    for to, words in {"kohya": "--train_data_dir", "ai-toolkit": "folder_path", "imagefolder": "load_dataset"}.items():
        told = run(home, "export", f"to-{to}", "--to", to, "--json")
        last = told.stderr.strip().splitlines()[-1]
        assert last.startswith("next: ")
        assert words in last
        assert str(home / f"to-{to}") in last
        result = {"format": to, "folder": f"to-{to}", "photos": 3, "people": 2}
        assert json.loads(told.stdout) == result | {"usage": last.removeprefix("next: ")}


@pytest.mark.parametrize("to", ["kohya", "imagefolder"])
def test_links_are_made_where_nothing_is_converted(home: Path, tmp_path: Path, to: str) -> None:
    folder = export(home, to, "--links")
    images = {path.stem: path for path in folder.rglob("*.jpg")}
    match = images.pop(key(home, "zidane/match.jpg"))
    assert match.is_symlink()
    assert match.read_bytes() == ZIDANE.read_bytes()
    assert match.resolve().is_relative_to(home / "data" / "photos")
    assert len(images) == 2
    assert all(not image.is_symlink() and is_clean(image.read_bytes()) for image in images.values())
    copies = export(home, to, folder="copies")
    assert {name: data for name, data in tree(folder).items() if name != ".bolid-export.json"} == {
        name: data for name, data in tree(copies).items() if name != ".bolid-export.json"
    }
    if to == "imagefolder":
        loaded = load(tmp_path / "cache", "imagefolder", data_dir=str(folder))
        assert {split: len(rows) for split, rows in loaded.items()} == {"train": 2, "validation": 1}
    export(home, to)
    assert not any(image.is_symlink() for image in folder.rglob("*.jpg")), "an export without links has none"


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_no_longer_kept_leaves_the_export(home: Path, to: str) -> None:
    folder = export(home, to)
    gone = key(home, "zidane/turned.jpg")
    (folder / f"{gone}_0400x0650_sdxl.npz").write_bytes(b"what a trainer cached")
    (folder / "notes.md").write_text("the user's")
    before = tree(folder)
    assert gone in str(before) or to == "webdataset"
    catalog = Dataset(home / "data").catalog
    catalog.decisions.decide("reject", [("zidane", catalog.photo_names.find("zidane/turned.jpg"))], "me", "not them")
    (home / "photos" / "bus" / "street.png").unlink()
    assert run(home, "scrape").returncode == 0
    export(home, to)
    after = tree(folder)
    assert (folder / "notes.md").exists()
    if to != "webdataset":
        assert gone not in str(after.keys())
        assert gone.encode() not in b"".join(after.values())
        assert "bus" not in str(after.keys())
    else:
        assert [name for name in after if name.endswith(".tar")] == ["train-000000.tar"]
        assert gone.encode() not in after["train-000000.tar"]
    fresh = tree(export(home, to, folder="fresh"))
    assert {name: data for name, data in after.items() if name in fresh} == fresh


@pytest.mark.parametrize("links", [[], ["--links"]])
def test_an_opt_out_reaches_the_export(home: Path, links: list[str]) -> None:
    folder = export(home, "ai-toolkit", *links)
    assert len(read_as_ai_toolkit(folder)) == 3
    dataset = Dataset(home / "data")
    dataset.discard_opted_out(dataset.catalog.consent.opt_out_person("zidane", "X-Robots-Tag: noai"))
    export(home, "ai-toolkit", *links)
    assert [caption for _, caption in read_as_ai_toolkit(folder)] == ["a man"]
    assert [path.name for path in folder.iterdir() if "zidane" in path.name] == []


def test_repeats_and_people_can_change(home: Path) -> None:
    folder = export(home, "kohya", "--repeats", "10")
    export(home, "kohya", "--repeats", "5", "--person", "Zidane")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"5_zidane"}
    assert len(read_as_kohya(folder)) == 2


def test_an_export_to_another_folder_or_format_is_refused(home: Path) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "thesis.txt").write_text("years of work")
    export(home, "kohya")
    for arguments, message in [
        (("mine", "--to", "kohya"), "is not empty"),
        (("out", "--to", "diffusers"), "holds the export of 'photographs' to kohya"),
        (("data/photos/x", "--to", "kohya"), "bolid keeps its own files there"),
        (("data", "--to", "kohya"), "bolid keeps its own files there"),
        (("new", "--to", "zip"), "no such format"),
        (("new", "--to", "diffusers", "--repeats", "3"), "only kohya"),
        (("new", "--to", "webdataset", "--links"), "a tar holds copies"),
        (("new", "--to", "kohya", "--person", "nobody"), "nobody with kept photos"),
        (("new", "--to", "kohya", "--trigger", "two\nlines"), "on one line"),
    ]:
        failed = run(home, "export", *arguments)
        assert (failed.returncode, message in failed.stderr) == (2, True), failed.stderr
    assert tree(home / "mine") == {"thesis.txt": b"years of work"}
    assert not (home / "new").exists()


def test_a_link_in_an_export_is_not_followed(home: Path) -> None:
    folder = export(home, "kohya")
    shutil.rmtree(folder / "1_bus")
    (home / "mine").mkdir()
    (folder / "1_bus").symlink_to(home / "mine")
    failed = run(home, "export", "out", "--to", "kohya")
    assert (failed.returncode, "is a link" in failed.stderr) == (2, True)
    assert not list((home / "mine").iterdir())


@pytest.mark.parametrize("to", FORMATS)
def test_a_killed_export_continues(home: Path, to: str) -> None:
    expected = tree(export(home, to, folder="whole"))
    command = [sys.executable, "-m", "bolid", "export", "photos.toml", "out", "--to", to, "--data", "data"]
    first, marker = home / "out", home / "out" / ".bolid-export.json"
    for awaited, wait in ((first, 0.0), (marker, 0.0), (marker, 0.02)):
        process = subprocess.Popen(command, cwd=home, stderr=subprocess.DEVNULL)
        while process.poll() is None and not awaited.exists():
            time.sleep(0.0005)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    if to != "webdataset":
        (home / "out" / f".{key(home, 'zidane/match.jpg')}.jpg.part").write_bytes(b"half")
    assert tree(export(home, to)) == expected


@pytest.mark.parametrize("to", FORMATS)
def test_a_forgotten_person_leaves_the_exports_inside_and_those_outside_are_named(home: Path, to: str) -> None:
    inside, outside = export(home, to, folder="data/export"), export(home, to, folder="outside")
    only_bus = export(home, to, "--person", "bus", folder="only")
    of_zidane = export(home, to, "--person", "zidane", folder="data/of_zidane")
    assert run(home, "caption", "--export", "texts").returncode == 0
    if to == "kohya":
        (inside / "1_zidane" / "cache.bin").write_bytes(b"put there by a trainer")
    person = "zidane"
    before = tree(outside)
    done = run(home, "forget", person, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    exports = json.loads(done.stdout)["exports"]
    assert sorted(exports["cleaned"]) == ["export", "of_zidane"]
    assert sorted(exports["elsewhere"]) == sorted([str(outside), str(home / "texts")])
    assert str(outside) in done.stderr
    for folder in (inside, of_zidane):
        assert person not in str(tree(folder).keys())
        assert person.encode() not in b"".join(tree(folder).values())
    assert tree(outside) == before, "what is outside is not ours to change"
    if to not in ("webdataset", "diffusers", "ai-toolkit"):
        assert [path.name for path in inside.rglob("*.jpg")] == [path.name for path in only_bus.rglob("*.jpg")]
    catalog = (home / "data" / "catalog.duckdb").read_bytes()
    assert person.encode() not in catalog
    again = tree(export(home, to, folder="data/export"))
    assert again == tree(only_bus)
    assert run(home, "verify").returncode in (0, 2)


def test_captions_are_not_exported_into_the_dataset(home: Path) -> None:
    failed = run(home, "caption", "--export", "data/texts")
    assert (failed.returncode, "inside the dataset's folder" in failed.stderr) == (2, True)
    assert not (home / "data" / "texts").exists()


def test_an_edited_export_can_be_imported(home: Path) -> None:
    change(home, "[shards]", '[caption]\ntrigger = "ohwx"\n[shards]')
    folder = export(home, "kohya")
    caption = folder / "1_zidane" / f"{key(home, 'zidane/match.jpg')}.txt"
    caption.write_text("ohwx, two men on a pitch\n")
    told = run(home, "caption", "--import", folder, "--json")
    assert json.loads(told.stdout) == {"imported": 1, "unchanged": 2, "unmatched": 0}
    export(home, "kohya")
    assert caption.read_text() == "ohwx, two men on a pitch\n"


def test_nothing_kept_is_nothing_to_export(home: Path) -> None:
    change(home, "min_width = 1", "min_width = 9999")
    assert run(home, "filter", "--rejudge").returncode == 0
    failed = run(home, "export", "out", "--to", "kohya")
    assert (failed.returncode, "no photo is kept" in failed.stderr) == (1, True)

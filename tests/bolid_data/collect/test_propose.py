"""`bolid init`: what it writes is a manifest that collects what it has found."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.manifest import FolderSource, ThePlaceSource, UrlsSource
from tests.support.commands import bolid
from tests.support.gallery_site import Site, photo, serve


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def turned(width: int, height: int) -> bytes:
    """A photo that EXIF turns by a quarter."""
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (width, height)).save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("named", [["photos"], []], ids=["named", "found"])
def test_a_folder_of_people(named: list[str], tmp_path: Path) -> None:
    fill(tmp_path, {
        "photos/Ana B/1.jpg": photo(1, 700, 900), "photos/Ana B/2019/2.jpg": turned(1200, 640),
        "photos/tom/1.jpg": photo(3, 800, 901), "photos/tom/clip.mp4": b"x", "photos/empty/notes.txt": b"x",
    })  # fmt: skip
    done = bolid("init", *named, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "photos.toml: a manifest for 2 people, 3 photos" in done.stdout
    assert done.stderr == "result: photos.toml\nnext: bolid doctor photos.toml, then bolid dataset photos.toml\n"
    text = (tmp_path / "photos.toml").read_text()
    assert "#   Ana B: 2 photos\n#   tom: 1 photo; BoLID needs a second one\n" in text
    assert "the photos have 640 to 800" in text
    assert "synthetic people only" in text
    loaded = manifests.load(tmp_path / "photos.toml")
    assert isinstance(loaded.source, FolderSource)
    assert (loaded.source.path, loaded.shards.splits) == ("photos", {"train": 1.0})
    assert (loaded.filter.min_width, loaded.filter.min_height) == (640, 900)
    assert loaded.filter.min_photos_per_person == 1
    assert scrape(loaded, Dataset(tmp_path / "data"))["new"] == 3


def test_the_lines_that_make_it_sdxl_are_a_valid_manifest(tmp_path: Path) -> None:
    fill(tmp_path, {"photos/ana/1.jpg": photo(1)})
    bolid("init", cwd=tmp_path)
    path = tmp_path / "photos.toml"
    lines = path.read_text().splitlines()
    marked = [line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line]
    path.write_text("\n".join([*lines, *marked]))
    assert manifests.load(path).train.base == "stabilityai/stable-diffusion-xl-base-1.0"
    assert manifests.load(path).train.resolution == 1024


def test_the_photos_of_one_person(tmp_path: Path) -> None:
    fill(tmp_path, {"holiday/Eva/1.jpg": photo(1), "holiday/Eva/2.jpg": photo(2), "holiday/tom/3.jpg": photo(3)})
    assert bolid("init", "holiday/Eva", cwd=tmp_path).returncode == 0
    loaded = manifests.load(tmp_path / "eva.toml")
    assert (loaded.name, loaded.source.people) == ("eva", ["eva"])
    assert scrape(loaded, Dataset(tmp_path / "data"))["new"] == 2


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    fill(tmp_path, {"photos/ana/1.jpg": photo(1), "photos.toml": b"mine"})
    done = bolid("init", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("photos.toml: exists; name another file with --out")) == (2, 1)
    assert (tmp_path / "photos.toml").read_bytes() == b"mine"
    (tmp_path / "manifests").mkdir()
    done = bolid("init", "--out", "manifests/a.toml", "--json", cwd=tmp_path)
    assert done.returncode == 2, "manifests/ has no photos"
    done = bolid("init", "photos", "--out", "manifests/a.toml", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"manifest": "manifests/a.toml", "people": 1, "photos": 1}
    assert manifests.load(tmp_path / "manifests" / "a.toml").source.path == "../photos"


def test_a_list(tmp_path: Path) -> None:
    with serve(Site({"ana": [photo(1, 1100, 1100)]})) as site:
        url = f"{site.base_url}/photos/ana/"
        (tmp_path / "my list.csv").write_text(f"person;url\nÁna;{url}\nÁna;https://a.example/1.jpg\n", encoding="utf-8")
        assert bolid("init", "my list.csv", cwd=tmp_path).returncode == 0
    text = (tmp_path / "my_list.toml").read_text()
    loaded = manifests.load(tmp_path / "my_list.toml")
    assert isinstance(loaded.source, UrlsSource)
    assert (loaded.source.path, loaded.source.contact) == ("my list.csv", "mailto:you@example.org")
    assert "#   Ána: 2 photos" in text
    assert "# allow_local = true" in text


@pytest.mark.parametrize(
    ("url", "profile", "base_url"),
    [
        ("https://www.theplace.ru/photos/", "theplace.ru", None),
        ("https://theplace2.ru/", "theplace2.ru", None),
        ("http://127.0.0.1:8765/photos/", "theplace.ru", "http://127.0.0.1:8765"),
    ],
)
def test_a_site(url: str, profile: str, base_url: str | None, tmp_path: Path) -> None:
    assert bolid("init", url, "--out", "m.toml", cwd=tmp_path).returncode == 0
    source = manifests.load(tmp_path / "m.toml").source
    assert isinstance(source, ThePlaceSource)
    assert (source.profile, source.base_url) == (profile, base_url)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("https://photos.example", "no profile of this site; there are theplace.ru"),
        ("nowhere", "nowhere: no such folder or list"),
        ("empty", "empty: no photos in it"),
        ("notes.csv", "not a list with columns person, url"),
    ],
)
def test_what_cannot_be_collected(what: str, message: str, tmp_path: Path) -> None:
    fill(tmp_path, {"empty/ana/notes.txt": b"x", "notes.csv": b"hello\n"})
    done = bolid("init", what, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.glob("*.toml"))


def test_strange_names_stay_in_their_comment(tmp_path: Path) -> None:
    fill(tmp_path, {"photos/Eva\n[filter]/1.jpg": photo(1), 'pho"tos\\x/Eva/1.jpg': photo(1)})
    assert bolid("init", "photos", cwd=tmp_path).returncode == 0
    assert manifests.load(tmp_path / "photos.toml").filter.min_photos_per_person == 1
    assert bolid("init", 'pho"tos\\x', cwd=tmp_path).returncode == 0
    assert manifests.load(tmp_path / "pho_tos_x.toml").source.path == 'pho"tos\\x'

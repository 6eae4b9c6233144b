"""Photos whose bytes the store lost are noticed by whoever reads them, and fetched again: by the command line."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bolid_data.dataset import Dataset
from tests.support import commands
from tests.support.clean_photos import clean_photos
from tests.support.commands import Done
from tests.support.gallery_site import Site, serve

PEOPLE, PHOTOS = ("anna", "berta"), 3
MANIFEST = """
name = "mine"
[source]
{source}
[filter]
min_photos_per_person = 1
max_watermark = 1.0
[shards]
splits = {{ train = 1.0 }}
"""


@pytest.fixture(scope="module")
def photos() -> dict[str, list[bytes]]:
    return dict(zip(PEOPLE, clean_photos(len(PEOPLE), PHOTOS), strict=True))


@pytest.fixture(scope="module")
def site(photos: dict[str, list[bytes]]) -> Iterator[Site]:
    with serve(Site({person: list(own) for person, own in photos.items()}, per_page=10)) as site:
        yield site


def manifest(home: Path, site: Site) -> None:
    source = f'kind = "theplace"\nbase_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0'
    (home / "m.toml").write_text(MANIFEST.format(source=source))


@pytest.fixture(scope="module")
def built(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("built")
    manifest(home, site)
    assert bolid("dataset", home).returncode == 0
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "home")
    return tmp_path / "home"


def bolid(command: str, home: Path, *options: str) -> Done:
    return commands.bolid(command, "m.toml", *options, "--data", "data", cwd=home)


def dataset(home: Path) -> Dataset:
    return Dataset(home / "data")


def shards(home: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in [*dataset(home).shards.glob("*.tar"), dataset(home).lock]}


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def swap(file: Path) -> None:
    """Another person's photo, whole, under this one's name."""
    others = [other for other in file.parents[1].glob("??/*") if other != file]
    file.write_bytes(others[0].read_bytes())


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "swapped": swap,
    "missing": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:1000]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_it_is_in_no_shard_and_fetched_again(home: Path, damage: str) -> None:
    before = shards(home)
    file = next(dataset(home).store.files())
    DAMAGE[damage](file)
    done = bolid("shard", home)
    assert done.returncode == 1
    assert f"photo {file.stem}: its file" in done.stderr
    assert "1 kept photo lost its bytes" in done.stderr
    assert shards(home) == before, "the old shards and their lock stay"
    assert not file.exists()
    explained = json.loads(bolid("explain", home, file.stem, "--json").stdout)
    assert [row["reasons"] for row in explained["verdicts"]] == [["broken"]]
    assert bolid("verify", home).returncode == 1
    assert bolid("dataset", home).returncode == 0
    assert shards(home) == before
    assert bolid("verify", home).returncode == 0


def test_a_crawl_notices_what_is_missing_or_cut_by_itself(home: Path, site: Site) -> None:
    first, second, third = list(dataset(home).store.files())[:3]
    first.unlink()
    second.write_bytes(b"")
    flip(third)  # found by whoever reads it
    asked = len(site.requests)
    done = bolid("scrape", home, "--json")
    assert json.loads(done.stdout)["new"] == 2
    assert "2 photos lost their bytes: fetched again" in done.stderr
    assert sum("/archive/" in path for path in site.requests[asked:]) == 2
    assert bolid("verify", home).returncode == 1
    assert bolid("scrape", home, "--json").returncode == 0


def test_measuring_and_captioning_notice_it(site: Site, built: Path, tmp_path: Path) -> None:
    manifest(tmp_path, site)
    assert bolid("scrape", tmp_path).returncode == 0
    first, second = list(dataset(tmp_path).store.files())[:2]
    swap(first)
    done = bolid("filter", tmp_path, "--json")
    assert "1 photo lost its bytes and is out as broken" in done.stderr
    assert json.loads(done.stdout)["reasons"]["broken"] == 1
    flip(second)
    done = bolid("caption", tmp_path)
    assert done.returncode == 1
    assert f"photo {second.stem}: its file does not hold its bytes" in done.stderr
    assert bolid("dataset", tmp_path).returncode == 0
    assert shards(tmp_path) == shards(built)


def test_a_folders_photo_is_copied_again(photos: dict[str, list[bytes]], tmp_path: Path) -> None:
    for person, files in photos.items():
        (tmp_path / "own" / person).mkdir(parents=True)
        for number, data in enumerate(files):
            (tmp_path / "own" / person / f"{number}.jpg").write_bytes(data)
    (tmp_path / "m.toml").write_text(MANIFEST.format(source='kind = "folder"\npath = "own"'))
    assert bolid("dataset", tmp_path).returncode == 0
    before = shards(tmp_path)
    first, second = list(dataset(tmp_path).store.files())[:2]
    first.unlink()
    swap(second)
    assert bolid("shard", tmp_path).returncode == 1
    assert bolid("dataset", tmp_path).returncode == 0
    assert shards(tmp_path) == before
    # Where the folder does not have it any more either, it is gone.
    lost = next(dataset(tmp_path).store.files())
    owner = next(file for file in (tmp_path / "own").rglob("*.jpg") if file.read_bytes() == lost.read_bytes())
    lost.unlink()
    owner.unlink()
    assert bolid("dataset", tmp_path).returncode == 0
    assert bolid("verify", tmp_path).returncode == 0
    assert lost.stem not in (tmp_path / "data" / "dataset.lock.json").read_text()


def test_a_rebuild_that_is_run_again_fetches_it(home: Path, site: Site) -> None:
    def rebuild() -> Done:
        lock = "data/dataset.lock.json"
        return commands.bolid("rebuild", lock, "--data", "again", "--base-url", site.base_url, cwd=home)

    assert rebuild().returncode == 0
    file = next(Dataset(home / "again").store.files())
    file.unlink()
    assert rebuild().returncode == 0
    assert file.exists()


def test_what_a_forgotten_person_had_set_aside_goes(home: Path) -> None:
    file = next(dataset(home).store.files())
    flip(file)
    assert bolid("shard", home).returncode == 1
    assert list((home / "data" / "photos" / ".damaged").iterdir())
    assert bolid("forget", home, "berta", "--yes").returncode == 0
    assert not (home / "data" / "photos" / ".damaged").exists()

"""A catalog that is lost or damaged is built again from what else a dataset has: by the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bolid_data.dataset import Dataset
from tests.support.gallery_site import Site
from tests.test_lost_photos import bolid, built, flip, photos, shards, site

__all__ = ["built", "photos", "site"]  # fixtures

TABLES = {
    "people": "person, name, url, listed_photos",
    "photos": "*",
    "sightings": "url, person, sha256, page_url, state, consent",
    "models": "*",
    "measured": "*",
    "detections": "*",
    "watermarks": "*",
    "hashes": "*",
    "qualities": "*",
    "near": "*",
    "judged": "*",
    "judgement": "*",
    "captioned": "*",
    "captioner": "*",
    "removals": "*",
    "decisions": "* EXCLUDE who",
    "assignments": "* EXCLUDE who",
}
"""All but what no other file tells."""


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "home")
    return tmp_path / "home"


def contents(home: Path) -> dict[str, Any]:
    with Dataset(home / "data").catalog.open(read_only=True) as con:
        return {
            table: sorted(map(repr, con.execute(f"SELECT {columns} FROM {table}").fetchall()))
            for table, columns in TABLES.items()
        }


def catalog(home: Path) -> Path:
    return home / "data" / "catalog.duckdb"


def catalogs(home: Path) -> list[str]:
    return sorted(path.name for path in catalog(home).parent.glob("catalog.*"))


def test_a_lost_catalog_comes_back(home: Path, site: Site) -> None:
    dataset = Dataset(home / "data")
    photo = next(dataset.store.files()).stem
    person = "anna" if photo in dataset.catalog.erasure.photos_of("anna") else "berta"
    dataset.catalog.decisions.decide("keep", [(person, photo)], "me", "good")
    assert bolid("forget", home, "berta", "--yes").returncode == 0
    assert bolid("dataset", home).returncode == 0
    before, files = contents(home), shards(home)
    catalog(home).unlink()
    assert "`bolid repair` builds it again" in bolid("status", home).stderr
    done = bolid("repair", home, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["repaired"], result["people"], result["lost_photos"], result["unknown_files"]) == (True, 1, 0, 0)
    assert contents(home) == before
    assert bolid("verify", home).returncode == 0
    asked = len(site.requests)
    assert bolid("dataset", home).returncode == 0
    assert not [path for path in site.requests[asked:] if "/archive/" in path], "no photo is fetched again"
    assert not [path for path in site.requests[asked:] if "/berta" in path], "who was forgotten stays forgotten"
    assert shards(home) == files
    assert bolid("forget", home, "anna", "--yes").returncode == 0


def test_a_damaged_one_is_set_aside_and_goes_with_a_person(home: Path) -> None:
    before = contents(home)
    catalog(home).write_bytes(catalog(home).read_bytes()[:20_000])
    for command in ("status", "scrape", "filter"):
        done = bolid(command, home)
        assert done.returncode == 1
        assert "bolid repair" in done.stderr
    assert bolid("repair", home).returncode == 0
    assert contents(home) == before
    assert catalogs(home) == ["catalog.duckdb", "catalog.duckdb.damaged-1"]
    assert bolid("forget", home, "anna", "--yes").returncode == 0
    assert catalogs(home) == ["catalog.duckdb"]


def test_where_only_an_index_is_damaged_every_row_is_copied(home: Path) -> None:
    before, sound = contents(home), catalog(home).read_bytes()
    (home / "data" / "removed.jsonl").unlink()  # the catalog knows the removals, too
    for block in range(12_288, len(sound), 262_144):
        data = bytearray(sound)
        data[block + 100] ^= 1
        catalog(home).write_bytes(data)
        if (Dataset(home / "data").catalog.damage() or "").endswith("an index of their keys cannot"):
            break
    result = json.loads(bolid("repair", home, "--json").stdout)
    assert (result["repaired"], result["copied"]) == (True, True)
    assert contents(home) == before
    assert Dataset(home / "data").catalog.damage() is None
    assert bolid("dataset", home).returncode == 0


def test_one_that_is_whole_is_left_alone(home: Path) -> None:
    before = catalog(home).read_bytes()
    assert json.loads(bolid("repair", home, "--json").stdout) == {"repaired": False, "damage": None}
    assert catalog(home).read_bytes() == before


def test_photos_that_are_lost_with_it_are_fetched_again(home: Path) -> None:
    before, files = shards(home), list(Dataset(home / "data").store.files())
    catalog(home).unlink()
    files[0].unlink()
    flip(files[1])
    result = json.loads(bolid("repair", home, "--json").stdout)
    assert result["lost_photos"] == 2
    assert bolid("dataset", home).returncode == 0
    assert shards(home) == before
    assert bolid("verify", home).returncode == 0


def test_without_lock_the_next_crawl_says_whose_the_photos_are(home: Path) -> None:
    before = shards(home)
    catalog(home).unlink()
    (home / "data" / "dataset.lock.json").unlink()
    result = json.loads(bolid("repair", home, "--json").stdout)
    assert (result["photos"], result["unknown_files"]) == (0, 6)
    assert bolid("dataset", home).returncode == 0
    assert shards(home) == before


def test_where_removals_are_lost_too_nobody_is_crawled_until_told(home: Path) -> None:
    catalog(home).unlink()
    (home / "data" / "removed.jsonl").unlink()
    for command in ("scrape", "dataset", "repair"):
        done = bolid(command, home)
        assert done.returncode == 1
        assert "removed.jsonl" in done.stderr
        assert "--nobody-removed" in done.stderr
    assert not catalog(home).exists()
    assert bolid("repair", home, "--nobody-removed").returncode == 0
    assert bolid("dataset", home).returncode == 0
    assert bolid("verify", home).returncode == 0


def test_a_person_forgotten_after_the_lock_does_not_come_back(home: Path) -> None:
    lock, measurements = home / "data" / "dataset.lock.json", home / "data" / "measurements.parquet"
    old = lock.read_bytes(), measurements.read_bytes()
    assert bolid("forget", home, "berta", "--yes").returncode == 0
    lock.write_bytes(old[0])  # of a backup, say
    measurements.write_bytes(old[1])
    catalog(home).unlink()
    assert bolid("repair", home).returncode == 0
    with Dataset(home / "data").catalog.open(read_only=True) as con:
        assert con.execute("SELECT DISTINCT person FROM people").fetchall() == [("anna",)]
        assert con.execute("SELECT DISTINCT person FROM sightings").fetchall() == [("anna",)]

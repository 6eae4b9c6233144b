"""A photo is found by its sha256's first digits, by a file, and by its path."""

import hashlib
from pathlib import Path

import pytest

from bolid_data.catalog import Catalog
from bolid_data.errors import UsageError
from bolid_data.records import ListedPerson, Sighting, StoredPhoto

PHOTOS = {"file:anna/1.jpg": "a", "file:anna/sub/2.jpg": "b", "file:berta/1.jpg": "c", "https://a.example/x/9.jpg": "d"}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    catalog.create()
    catalog.sightings.record(
        [ListedPerson("anna", "Anna", "file:anna/")],
        [StoredPhoto(sha256(text), "JPEG", 10, 10, 1) for text in PHOTOS.values()],
        [Sighting(url, "anna", url, "stored", sha256(text)) for url, text in PHOTOS.items()],
    )
    return catalog


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (sha256("b")[:8], "b"),
        (sha256("b"), "b"),
        ("anna/1.jpg", "a"),
        ("./anna/1.jpg", "a"),
        ("file:anna/1.jpg", "a"),
        ("/elsewhere/photos/anna/1.jpg", "a"),
        ("photos/anna/sub/2.jpg", "b"),
        ("2.jpg", "b"),
        ("9.jpg", "d"),
        ("https://a.example/x/9.jpg", "d"),
    ],
)
def test_a_photo_has_several_names(catalog: Catalog, name: str, text: str) -> None:
    assert catalog.photo_names.find(name) == sha256(text)


def test_a_file_is_known_by_its_bytes(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "renamed.jpg").write_text("c")
    assert catalog.photo_names.find(str(tmp_path / "renamed.jpg")) == sha256("c")


def test_many_names_are_found_at_once(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "copy.jpg").write_text("d")
    names = [sha256("b")[:8], "anna/1.jpg", str(tmp_path / "copy.jpg"), "2.jpg", "https://a.example/x/9.jpg"]
    found = catalog.photo_names.find_all(names)
    assert found == dict(zip(names, map(sha256, ("b", "a", "d", "b", "d")), strict=True))


def test_a_file_that_was_overwritten_is_not_taken_for_its_old_photo(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("anna").mkdir()
    Path("anna/1.jpg").write_text("another picture")
    with pytest.raises(UsageError, match=r"this file is not in the dataset.*`bolid scrape`"):
        catalog.photo_names.find("anna/1.jpg")


@pytest.mark.parametrize(
    ("name", "message"),
    [("1.jpg", r"several .*anna/1.jpg .*berta/1.jpg"), ("7.jpg", "no photo"), ("na/1.jpg", "no photo")],
)
def test_a_name_of_none_or_several_is_refused(catalog: Catalog, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        catalog.photo_names.find(name)

from pathlib import Path

import pytest

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import UsageError
from tests.bolid_data.collect.site import photo


def manifest(folder: Path, more: str = "") -> manifests.Manifest:
    path = folder / "m.toml"
    path.write_text(f'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n{more}')
    return manifests.load(path)


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_a_folder_of_folders(tmp_path: Path) -> None:
    files = {"Ana B/1.jpg": photo(1), "Ana B/2019/2.jpg": photo(2), "tom/a.jpg": photo(1), "tom/note.txt": b"hello"}
    fill(tmp_path, files)
    dataset = Dataset(tmp_path / "data")
    tally = scrape(manifest(tmp_path), dataset)
    assert (tally["people"], tally["new"], tally["reasons"]) == (2, 3, {"broken": 1})
    with dataset.catalog.open() as con:
        seen = con.execute("SELECT person, url FROM sightings WHERE state = 'stored' ORDER BY url").fetchall()
    assert seen == [("ana_b", "file:Ana B/1.jpg"), ("ana_b", "file:Ana B/2019/2.jpg"), ("tom", "file:tom/a.jpg")]
    assert len(list(dataset.store.files())) == 2, "the same bytes under two names are one photo"
    assert (tmp_path / "photos" / "tom" / "a.jpg").exists(), "a person's own files stay where they are"
    assert scrape(manifest(tmp_path), dataset)["known"] == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "no such folder"), ({"x.jpg": b""}, "no folders of people"), ({"A/1": b"", "a/1": b""}, "rename one")],
)
def test_folders_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    fill(tmp_path, files)
    with pytest.raises(UsageError, match=message):
        scrape(manifest(tmp_path), Dataset(tmp_path / "data"))

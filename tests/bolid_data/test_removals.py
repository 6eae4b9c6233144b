"""Tombstones: nobody reads a name from them, and nobody comes back."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError
from bolid_data.keyed import make_key, read_key
from bolid_data.removals import RemovalFile, SaltedRemoval, removals_of

PHOTO = hashlib.sha256(b"a photo").hexdigest()
ADDRESS = "https://a.example/1.jpg"


def dataset(folder: Path) -> Dataset:
    made = Dataset(folder / "data")
    made.prepare()
    return made


def test_what_was_removed_is_known_and_nothing_else(tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    mine.remember(removals_of(mine.root, "forgotten", ["anna"], [PHOTO]))
    mine.remember(removals_of(mine.root, "opted_out", urls=[ADDRESS]))
    for read in (mine.removed(), Dataset(mine.root).removed()):
        assert (read.person("anna"), read.photo(PHOTO), read.address(ADDRESS)) == (
            "forgotten",
            "forgotten",
            "opted_out",
        )
        assert (read.person("berta"), read.photo("0" * 64), read.address("https://a.example/2.jpg")) == (None,) * 3
        assert read.person(PHOTO) is None, "a person and a photo of one name are two"


def test_names_cannot_be_read_without_the_key(tmp_path: Path) -> None:
    first, second = dataset(tmp_path / "1"), dataset(tmp_path / "2")
    for each in (first, second):
        each.remember(removals_of(each.root, "forgotten", ["anna"]))
    lines = [json.loads((each.root / "removed.jsonl").read_text()) for each in (first, second)]
    assert lines[0]["id"] != lines[1]["id"], "another key makes another id"
    assert lines[0]["id"] not in {hashlib.sha256(text).hexdigest()[:24] for text in (b"anna", b"person\0anna")}
    for name in ("secret.key", "removed.jsonl"):
        assert stat.S_IMODE((first.root / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(first.root.stat().st_mode) == 0o700


def test_a_lost_catalog_brings_nobody_back(tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    mine.remember(removals_of(mine.root, "forgotten", ["anna"]))
    mine.catalog.path.unlink()
    again = dataset(tmp_path)
    assert again.removed().person("anna") == "forgotten"
    assert len(again.catalog.consent.removals()) == 1, "and the new catalog has it, too"


def test_a_lost_file_is_written_again_from_the_catalog(tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    mine.remember(removals_of(mine.root, "forgotten", ["anna"]))
    before = (mine.root / "removed.jsonl").read_text()
    (mine.root / "removed.jsonl").unlink()
    dataset(tmp_path)
    assert (mine.root / "removed.jsonl").read_text() == before


@pytest.mark.parametrize("key", [None, "0" * 64])
def test_a_key_that_is_lost_or_another_is_an_error_and_never_a_new_key(key: str | None, tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    mine.remember(removals_of(mine.root, "forgotten", ["anna"]))
    (mine.root / "secret.key").unlink()
    if key:
        (mine.root / "secret.key").write_text(key)
    for use in (mine.removed, lambda: dataset(tmp_path)):
        with pytest.raises(BolidError, match=r"secret\.key: is (missing|not the key).*restore it from a backup"):
            use()
    assert ((mine.root / "secret.key").exists()) == (key is not None)


def test_tombstones_of_earlier_versions_keep_working(tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    hashes = [hashlib.sha256(f"05af {name}".encode()).hexdigest() for name in ("anna", PHOTO)]
    mine.catalog.consent.add_removals([SaltedRemoval("05af", digest) for digest in hashes])
    again = dataset(tmp_path)
    assert (again.removed().person("anna"), again.removed().photo(PHOTO)) == ("forgotten", "forgotten")
    assert again.removed().person("berta") is None
    again.catalog.path.unlink()
    assert dataset(tmp_path).removed().person("anna") == "forgotten", "they are in the file from then on"


def test_a_line_that_a_kill_cut_off_is_written_over(tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    mine.remember(removals_of(mine.root, "forgotten", ["anna"]))
    with (mine.root / "removed.jsonl").open("a") as file:
        file.write('{"id": "cut o')
    again = dataset(tmp_path)
    again.remember(removals_of(mine.root, "forgotten", ["berta"]))
    assert len(RemovalFile(mine.root).read()) == 2


@pytest.mark.parametrize(
    "line", ["{}", "nonsense", '{"id": 3, "kind": "person", "why": "forgotten", "key": "a"}', "[" * 9999]
)
def test_a_damaged_file_is_an_error(line: str, tmp_path: Path) -> None:
    mine = dataset(tmp_path)
    (mine.root / "removed.jsonl").write_text(f"{line}\n")
    with pytest.raises(BolidError, match=r"removed\.jsonl:1: is not a removal"):
        mine.removed()


def test_a_key_is_made_once(tmp_path: Path) -> None:
    assert read_key(tmp_path) is None
    assert make_key(tmp_path) == make_key(tmp_path) == read_key(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]

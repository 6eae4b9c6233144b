import hashlib
from pathlib import Path

import pytest

from bolid_data.errors import BolidError
from bolid_data.records import Validators
from bolid_data.store import Store

ADDRESSES = ("https://a/1.jpg", "https://a/2.jpg", "https://a/3.jpg")


def test_the_same_bytes_are_one_photo(tmp_path: Path) -> None:
    store = Store(tmp_path / "photos")
    store.open_inbox()
    sha256 = hashlib.sha256(b"bytes").hexdigest()
    for address in ("https://a/1.jpg", "https://b/2.jpg"):
        part = store.download_path(address, Validators())
        part.write_bytes(b"bytes")
        store.add(store.mark_complete(part), sha256, "jpg")
    assert [path.name for path in store.files()] == [f"{sha256}.jpg"]
    assert store.find(sha256).read_bytes() == b"bytes"
    assert store.find(sha256).parent.name == sha256[:2]


def test_what_a_killed_run_left_is_found_by_its_address_with_its_validators(tmp_path: Path) -> None:
    store = Store(tmp_path / "photos")
    store.open_inbox()
    validators, cut = Validators('"a/b é"', "Wed, 21 Oct 2015 07:28:00 GMT"), Validators()
    store.download_path("https://a/1.jpg", validators).write_bytes(b"all of it")
    store.mark_complete(store.download_path("https://a/1.jpg", validators))
    store.download_path("https://a/2.jpg", cut).write_bytes(b"a pa")
    (store.inbox / "notes.txt").write_text("not a download")
    inbox = Store(tmp_path / "photos").open_inbox()
    assert [(file.suffix, file.read_bytes(), known) for file, known in filter(None, map(inbox.get, ADDRESSES))] == [
        (".whole", b"all of it", validators),
        (".part", b"a pa", cut),
    ]
    inbox.discard(ADDRESSES[0])
    inbox.discard(ADDRESSES[1])
    assert [file.name for file in store.inbox.iterdir()] == ["notes.txt"]


def test_a_persons_own_photo_and_the_stored_one_are_two_files(tmp_path: Path) -> None:
    own_photo = tmp_path / "own.jpg"
    own_photo.write_bytes(b"bytes")
    store, sha256 = Store(tmp_path / "photos"), hashlib.sha256(b"bytes").hexdigest()
    assert store.add(own_photo, sha256, "jpg")
    own_photo.write_bytes(b"edited")
    assert store.find(sha256).read_bytes() == b"bytes"
    assert not store.add(own_photo, sha256, "jpg"), "it is there already"


def test_a_missing_photo_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BolidError, match="missing"):
        Store(tmp_path).find("ab" * 32)

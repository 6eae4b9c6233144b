import hashlib
from pathlib import Path

import pytest

from bolid_data.errors import BolidError
from bolid_data.store import Store


def test_the_same_bytes_are_one_photo(tmp_path: Path) -> None:
    store = Store(tmp_path / "photos")
    sha256 = hashlib.sha256(b"bytes").hexdigest()
    for address in ("https://a/1.jpg", "https://b/2.jpg"):
        file = store.waiting(address)
        file.write_bytes(b"bytes")
        store.keep(file, sha256, "jpg")
    assert [path.name for path in store.files()] == [f"{sha256}.jpg"]
    assert store.find(sha256).read_bytes() == b"bytes"
    assert store.find(sha256).parent.name == sha256[:2]


def test_a_persons_own_photo_and_the_stored_one_are_two_files(tmp_path: Path) -> None:
    own = tmp_path / "own.jpg"
    own.write_bytes(b"bytes")
    stored = Store(tmp_path / "photos").keep(own, hashlib.sha256(b"bytes").hexdigest(), "jpg")
    own.write_bytes(b"edited")
    assert stored.read_bytes() == b"bytes"


def test_a_missing_photo_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BolidError, match="missing"):
        Store(tmp_path).find("ab" * 32)

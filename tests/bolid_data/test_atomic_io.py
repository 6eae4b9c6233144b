import errno
import os
from pathlib import Path

import pytest

from bolid_data.atomic_io import atomic_folder, atomic_write, make_folder, write_text


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.txt"
    write_text(file, "first")
    with pytest.raises(KeyboardInterrupt), atomic_write(file) as partial:
        partial.write_text("half of the se")
        raise KeyboardInterrupt
    assert file.read_text() == "first"
    assert os.listdir(file.parent) == ["a.txt"], "nothing half written is left"  # noqa: PTH208


def test_an_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.filename == str(tmp_path / "a.txt")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="enough"), atomic_folder(tmp_path / "step") as partial:
        (partial / "a").touch()
        raise ValueError("enough")
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "step") as partial:
        (partial / "below").mkdir()
        (partial / "below" / "a").touch()
    assert (tmp_path / "step" / "below" / "a").exists()


def test_a_folder_of_which_some_parents_are_there(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()

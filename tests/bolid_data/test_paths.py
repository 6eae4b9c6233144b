"""No name that comes from a file, and no link, leads out of a folder; what is printed does nothing to a terminal."""

import json
import os
from pathlib import Path

import pytest

from bolid_data.errors import BolidError
from bolid_data.paths import inside, refuse_links, regular_file, remove
from bolid_data.printable import one_line, printable, printable_json, printable_lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "1").write_text("1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "1").write_text("1")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "near").symlink_to("a")
    return tmp_path / "root"


@pytest.mark.parametrize("names", [("a",), ("a", "1"), ("a", "../a/1"), ("near", "1"), ("none", "of", "it")])
def test_what_is_inside_is_given(names: tuple[str, ...], root: Path) -> None:
    assert inside(root, *names) == root.joinpath(*names)


@pytest.mark.parametrize(
    "names", [("..",), ("a", "../.."), ("/etc",), ("link",), ("link", "1"), ("",), (".",), ("a\0",)]
)
def test_what_is_outside_is_refused(names: tuple[str, ...], root: Path) -> None:
    for use in (inside, regular_file):
        with pytest.raises(BolidError, match="leads out of this folder"):
            use(root, *names)


@pytest.mark.parametrize(
    "names", [("..",), ("a", ".."), ("/etc/passwd",), ("link", "1"), ("",), ("a", ""), ("a/1",), ("a\0",)]
)
def test_nothing_outside_is_deleted(names: tuple[str, ...], root: Path) -> None:
    with pytest.raises(BolidError):
        remove(root, *names)
    assert (root.parent / "outside" / "1").exists() and (root / "a" / "1").exists()


def test_of_a_link_the_link_alone_is_deleted(root: Path) -> None:
    remove(root, "link")
    remove(root, "near")
    remove(root, "a", "1")
    remove(root, "a")
    remove(root, "none")
    assert list(root.iterdir()) == [] and (root.parent / "outside" / "1").exists()


def test_a_pipe_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(BolidError, match="is not a regular file"):
        regular_file(root, "pipe")
    with pytest.raises(BolidError, match="No such file"):
        regular_file(root, "none")


def test_a_link_that_leads_out_is_named(root: Path) -> None:
    with pytest.raises(BolidError, match=r"root/link: is a link that leads out of"):
        refuse_links(root)
    (root / "link").unlink()
    (root / "a" / "deep").mkdir()
    refuse_links(root)
    (root / "a" / "deep" / "up").symlink_to("../../..")
    with pytest.raises(BolidError, match="a/deep/up: is a link"):
        refuse_links(root)


def test_what_a_terminal_would_act_on_is_spelt_out() -> None:
    text = "a\x1b[2J\x9b2J\x07\u202eb\u2028c\ud800"
    assert printable(text) == r"a\x1b[2J\x9b2J\x07\u202eb\u2028c\ud800"
    assert printable("张伟 José 👩‍🦰") == "张伟 José 👩‍🦰"
    assert one_line("one\n  two\x00") == r"one two\x00"
    assert printable_lines("one\n\ttwo\r") == "one\n\ttwo\\x0d"
    assert json.loads(printable_json({"a": text})) == {"a": text}
    assert all(" " <= char < "\x7f" for char in printable_json({"a": text}))

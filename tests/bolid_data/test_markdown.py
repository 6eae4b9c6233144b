"""Texts of strangers in a card."""

import pytest
import yaml

from bolid_data.markdown import card, code, escaped, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.5 – José, (a); 張偉", "0.5 – José, (a); 張偉"),
        ("a|b", "a\\|b"),
        ("two\nlines\x1b[2J", "two lines\\\\x1b\\[2J"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("![x](https://evil.example)", "\\!\\[x\\](https\\://evil.example)"),
        ("WWW.evil.example", "WWW\\.evil.example"),
        ("a@b.example", "a\\@b.example"),
        ("&lt;", "\\&lt;"),
    ],
)
def test_markup_is_shown_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_code_cannot_be_ended_from_inside() -> None:
    assert code("a`b``c") == "``` a`b``c ```"
    assert code("a|b") == "`a\\|b`"


def test_a_header_is_yaml_whatever_is_in_it() -> None:
    header = {"name": "a: b\n---\n# c", "list": ["no", "1.0", "'"], "empty": [], "none": None}
    above, _, text = card(header, ["# title"]).decode().removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(above) == {"name": header["name"], "list": header["list"]}
    assert text == "\n# title\n"


def test_sizes() -> None:
    assert [size(count) for count in (0, 999, 1000, 12_345_678, 10**15)] == [
        "0 bytes", "999 bytes", "1.0 kB", "12.3 MB", "1000.0 TB",
    ]  # fmt: skip

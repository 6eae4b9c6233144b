import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bolid_data.fields import SLUG
from bolid_data.names import clean_name, slug

# `text()` alone draws no lone surrogates, which is what odd bytes in a file's name become.
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=400)


@given(ANY_TEXT)
def test_every_name_becomes_a_slug_or_nothing(name: str) -> None:
    assert slug(name) == "" or re.fullmatch(SLUG, slug(name))
    assert slug(slug(name)) == slug(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Rita Ora", "rita_ora"),
        ("José", "jose"),
        ("O'Neil", "o_neil"),
        ("Anne-Marie", "anne-marie"),
        ("Łukasz Weiß", "lukasz_weiss"),
        ("Анна Петрова", "anna_petrova"),
        ("张伟", "zhangwei"),
        ("김태희", "gimtaehui"),
        ("محمد", "mhmd"),
    ],
)
def test_names_of_any_script_have_a_slug(name: str, expected: str) -> None:
    assert slug(name) == expected
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert slug(unicodedata.normalize(form, name)) == expected, "however a file system spells it"


def test_hostile_names_have_harmless_slugs() -> None:
    assert slug("../../etc/passwd") == "etc_passwd"
    assert slug("../") == ""
    assert slug("a\0b") == "a_b"
    assert slug("\u202eevil") == "evil"
    assert slug("\udcff\udcfe") == ""


@given(st.text("abc -_я", min_size=81), st.text("abc я", min_size=1, max_size=4))
def test_two_long_names_that_begin_alike_stay_two(name: str, ending: str) -> None:
    one, other = slug(f"{'x' * 80}{name}"), slug(f"{'x' * 80}{name}{ending}z")
    assert one != other
    assert max(len(one), len(other)) <= 80


def test_a_long_name_is_cut_and_ends_in_its_hash() -> None:
    assert slug("x" * 80) == "x" * 80
    assert re.fullmatch("x{71}-[0-9a-f]{8}", slug("x" * 81))
    assert slug("x" * 300) == slug("X" * 300)


@given(ANY_TEXT)
def test_a_clean_name_holds_nothing_unseen(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= 200
    assert not [char for char in name if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert name == " ".join(name.split())
    assert unicodedata.is_normalized("NFC", name)
    assert clean_name(name) == name
    name.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Rita\n\t Ora ", "Rita Ora"),
        ("Jose\u0301", "José"),
        ("Анна Петрова", "Анна Петрова"),
        ("हिन्दी", "हिन्दी"),
        ("\x1b[31mRita\x1b[0m", "[31mRita[0m"),
        ("\u202eevil\u2066\u200b\u00ad\ufeff", "evil"),
        ("a\0b\x9bc", "abc"),
        ("\u3164\u2800", ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_name_is_shown_as_it_reads(text: str, expected: str) -> None:
    assert clean_name(text) == expected

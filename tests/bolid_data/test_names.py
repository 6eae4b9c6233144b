import re

from hypothesis import given
from hypothesis import strategies as st

from bolid_data.manifest import SLUG
from bolid_data.names import slug


@given(st.text())
def test_every_name_becomes_a_slug_or_nothing(name: str) -> None:
    assert slug(name) == "" or re.fullmatch(SLUG, slug(name))
    assert slug(slug(name)) == slug(name)


def test_hostile_names() -> None:
    assert slug("../../etc/passwd") == "etc_passwd"
    assert slug("../") == ""
    assert slug("a\0b") == "a_b"
    assert slug("‮evil") == "evil"
    assert len(slug("x" * 300)) == 80

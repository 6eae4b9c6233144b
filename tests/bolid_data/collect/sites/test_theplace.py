import dataclasses
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bolid_data.collect.http.address import MAX_URL_LENGTH, normalise
from bolid_data.collect.sites.profiles import PROFILES, Items, Profile
from bolid_data.collect.sites.theplace import (
    DriftError,
    find_profile,
    parse_letters,
    parse_people,
    parse_person,
    parse_photo,
    read_count,
    read_size,
)
from bolid_data.errors import UsageError

PAGES = Path(__file__).with_name("pages")
PARSERS = {"letters": parse_letters, "people": parse_people, "person": parse_person, "photo": parse_photo}
LISTS = {"letters": "letters", "people": "people", "person": "cards", "photo": "image"}  # kind -> field of Profile
CASES = [(name, case) for name in PROFILES for case in json.loads((PAGES / name / "expected.json").read_text("utf-8"))]
MODERN = find_profile("theplace.ru")
URL = "https://www.theplace.ru/photos/tom_hardy/"


def page_text(profile: Profile, page: str) -> str:
    return (PAGES / profile.name / page).read_bytes().decode(profile.encoding)


def plain(result: Any) -> Any:
    """A parser's result as JSON would hold it."""
    if isinstance(result, list):
        return [plain(item) for item in result]
    return result if isinstance(result, str) else dataclasses.asdict(result)


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda value: value if isinstance(value, str) else value["page"])
def test_every_stored_page_gives_what_stands_on_it(name: str, case: dict[str, Any]) -> None:
    profile = find_profile(name)
    result = PARSERS[case["kind"]](profile, page_text(profile, case["page"]), case["url"])
    assert plain(result) == case["expected"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_page_of_every_kind_is_stored_for_every_profile(name: str) -> None:
    assert {case["kind"] for profile, case in CASES if profile == name} == set(PARSERS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name, profile in PROFILES.items() for kind, field in LISTS.items() if getattr(profile, field)],
)
def test_selectors_that_no_longer_match_are_drift_that_names_page_and_selectors(name: str, kind: str) -> None:
    profile = find_profile(name)
    case = next(case for owner, case in CASES if owner == name and case["kind"] == kind)
    gone = (Items("div.renamed a[href]"), Items("div.moved", link="a.away[href]"))
    drifted = dataclasses.replace(profile, **{LISTS[kind]: gone})  # type: ignore[arg-type]
    with pytest.raises(DriftError) as error:
        PARSERS[kind](drifted, page_text(profile, case["page"]), case["url"])
    assert error.value.page == case["url"]
    assert error.value.selectors == ("div.renamed a[href]", "div.moved a.away[href]")
    assert f"{case['url']}: no " in str(error.value)
    assert "selectors tried: div.renamed a[href] | div.moved a.away[href]" in str(error.value)


def test_a_selector_that_gives_nothing_usable_makes_way_for_the_next() -> None:
    html = """<div class="models_list row my-5"><a href="https://ads.example/photos/eve/">Eve</a><a>top</a></div>
    <div class="model-item"><a class="model-link" href="/photos/ana/">Ana</a></div>"""
    assert [link.person for link in parse_people(MODERN, html, URL)] == ["ana"]


def test_only_advertisements_are_drift() -> None:
    html = '<div class="row gx-1 justify-content-center"><a href="https://ads.example/1">1</a></div>'
    with pytest.raises(DriftError, match="no photo cards found"):
        parse_person(MODERN, html, URL)


def test_a_later_page_without_cards_is_drift() -> None:
    with pytest.raises(DriftError, match="page=2: no photo cards found"):
        parse_person(MODERN, '<h1 class="my-3">Tom Hardy</h1>', f"{URL}?page=2")


def test_names_are_shown_without_control_and_bidi_characters() -> None:
    html = '<div class="models_list row my-5"><a href="/photos/ana/">\u202eA\x1b[31mna\u2066\n  Hale</a></div>'
    assert parse_people(MODERN, html, URL)[0].name == "A[31mna Hale"


def test_a_link_on_plain_http_is_of_another_site() -> None:
    html = '<div class="letters-list"><a href="http://www.theplace.ru/photos/a/">A</a><a href="/photos/b/">B</a></div>'
    assert parse_letters(MODERN, html, URL) == ["https://www.theplace.ru/photos/b/"]


def test_links_that_share_a_container_share_no_count() -> None:
    html = """<div class="model_id"><a class="model_box" href="/photos/A-md1/"><span class="num">7</span></a>
    <a class="model_box" href="/photos/B-md2/">B</a></div>"""
    people = parse_people(find_profile("theplace2.ru"), html, "https://www.theplace2.ru/photos/celebs-A.html")
    assert [(link.person, link.listed_photos) for link in people] == [("a-md1", 7), ("b-md2", None)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Всего 312 фото", 312),
        ("312", 312),
        (" (312) ", 312),
        ("1 024 фото", 1024),
        ("Всего: 1\u00a0024\u202f300 фото", 1024300),
        ("1,024", 1024),
        ("Фото (0)", 0),
        ("Родилась в городе 12", None),
        ("фото нет", None),
        ("", None),
        ("9" * 5000, None),
        ("٣١٢", None),
    ],
)
def test_counts(text: str, count: int | None) -> None:
    assert read_count(text) == count


@pytest.mark.parametrize("text", ["850x1000", "850×1000", "850 X 1000 px", "JPG, 850 х 1000", "850*1000"])
def test_sizes(text: str) -> None:
    assert read_size(text) == (850, 1000)


@pytest.mark.parametrize("text", ["", "850", "x1000", "1000000x1000000", "large"])
def test_what_is_no_size(text: str) -> None:
    assert read_size(text) == (None, None)


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("p2#top", f"{URL}p2"),
        ("../a/./b/../c", "https://www.theplace.ru/photos/a/c"),
        ("/../../a", "https://www.theplace.ru/a"),
        ("/photos/%2e%2e/a", "https://www.theplace.ru/a"),
        ("?page=2", f"{URL}?page=2"),
        ("//X.Example:443/A", "https://x.example/A"),
        ("HTTP://x.example:80", "http://x.example/"),
        ("http://x.example:8080/a?b=1", "http://x.example:8080/a?b=1"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://user:secret@x.example/a", "http://x.example/a"),
        (" \t/a b\n/c\x00 ", "https://www.theplace.ru/a%20b/c"),
        ("/Ада (2).jpg", "https://www.theplace.ru/%D0%90%D0%B4%D0%B0%20(2).jpg"),
        ("http://пример.рф/", "http://xn--e1afmkfd.xn--p1ai/"),
        ("javascript:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("mailto:a@b.example", None),
        ("data:image/gif;base64,R0lGOD", None),
        ("ftp://x.example/", None),
        ("http://", None),
        ("http:///a", None),
        ("http://x.example:99999/", None),
        ("http://x.example:port/", None),
        ("http://[::1/", None),
        ("http://[x]/", None),
        ("http://a b/", None),
        ("http://xn--/", None),
        ("http://a..b/", None),
        (f"http://{'a' * 64}.example/", None),
        ("/" + "a" * MAX_URL_LENGTH, None),
    ],
)
def test_addresses_in_their_normal_form(link: str, address: str | None) -> None:
    assert normalise(link, URL) == address


addresses = st.text() | st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            [
                "http",
                "https",
                ":",
                "//",
                "/",
                "..",
                ".",
                "%2e",
                "%",
                "%25",
                "?",
                "#",
                "&",
                "=",
                "@",
                "[",
                "]",
                "::1",
                "+",
            ]
        )
        | st.sampled_from(["x.example", "EXAMPLE", ":80", ":443", ":99999", "\\", "é", ";", "xn--", "a", "٣"])
        | st.sampled_from([" ", "\n", "\x00", "\u202e"])
    ),
)


@given(addresses, st.just(URL) | addresses)
def test_any_text_is_a_normal_address_or_none(link: str, base: str) -> None:
    address = normalise(link, base)
    if address is None:
        return
    parts = urlsplit(address)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert parts.path.startswith("/")
    assert not parts.fragment
    assert address.isascii()
    assert address.isprintable()
    assert normalise(address, base) == address
    assert normalise(address, URL) == address


MARKUP = [
    "<a href='",
    "' class='model_box t link letter-item fancybox page-link'>",
    "<div class='models_list row my-5 gx-1 justify-content-center letters-list listalka ltop'>",
    "<div class='pic_box pic-card model_id'>",
    "<div class='model-card__body box_photo_letters big-photo-wrapper gallery-pics-list pic-big-box'>",
    "<div class='size'>",
    "<span class='num'>",
    "<table id=models_list>",
    "<img class='pic big_pic' src='",
    "<h1 class='my-3'>",
    "</div>",
    "</a>",
    "/photos/",
    "a-md1/",
    "a-mid1.html",
    "pic-1",
    "?page=",
    "gallery.php?id=1&page=9",
    "http://[",
    "https://x.example:99999/",
    "javascript:",
    "850x1000",
    "99999999999999999999",
    "'>",
    "<!--",
    "<script>",
]
pages = st.binary() | st.lists(st.sampled_from(MARKUP).map(str.encode) | st.binary(max_size=4)).map(b"".join)


@pytest.mark.parametrize("kind", PARSERS)
@pytest.mark.parametrize("name", PROFILES)
@given(page=pages)
def test_any_bytes_give_items_or_drift(name: str, kind: str, page: bytes) -> None:
    profile = find_profile(name)
    url = next(case["url"] for owner, case in CASES if owner == name and case["kind"] == kind)
    try:
        assert PARSERS[kind](profile, page.decode(profile.encoding, errors="replace"), url)
    except DriftError as error:
        assert error.page == url


NESTED = "<div class=pic_box><a href='pic-1'></a>" * 500 + "</div>" * 500


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<div>" * 100_000, "no tree of at most 512 levels"),
        ("<div " + " ".join(f"a{number}" for number in range(100_000)) + ">", "no tag of at most 500 attributes"),
        (NESTED, "no page of at most 50000 links"),
        ('<div class=pic_box><a href="pic-' + "../" * 100_000 + '">1</a></div>', "no photo cards"),
    ],
    ids=["depth", "attributes", "links", "address"],
)
def test_a_page_made_to_keep_the_parser_busy_is_drift(page: str, reason: str) -> None:
    with pytest.raises(DriftError, match=reason):
        parse_person(find_profile("theplace2.ru"), page, "https://www.theplace2.ru/photos/Ada-Merrow-md5087/")


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(
        UsageError, match=r"profiles are theplace\.ru, theplace\.ru-legacy, theplace2\.ru, theplace-2\.com"
    ):
        find_profile("thespace.ru")

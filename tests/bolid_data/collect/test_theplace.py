import pytest

from bolid_data.collect.theplace import (
    DriftError,
    find_profile,
    parse_letters,
    parse_people,
    parse_person,
    parse_photo,
)
from bolid_data.errors import UsageError

PROFILE = find_profile("theplace.ru")
URL = "https://www.theplace.ru/photos/tom_hardy/"

PERSON = """
<h1 class="my-3"> Tom Hardy </h1>
<div class="main-col-content"><div class="d-none d-sm-block"><p>Всего 312 фото</p></div></div>
<div class="row gx-1 justify-content-center">
  <a href="/photos/tom_hardy/p1">1</a> <a href="p2#top">2</a> <a href="/photos/tom_hardy/p1">1 again</a>
  <a href="https://elsewhere.example/p3">advertisement</a>
</div>
<div class="listalka"><a href="?page=10">10</a><a href="?page=2">2</a><a href="/photos/other/?page=3">3</a></div>
"""


def test_letters() -> None:
    html = '<div class="letters-list"><a href="/photos/a/">A</a><a href="b/">B</a><a>no link</a></div>'
    base = "https://www.theplace.ru/photos/"
    assert parse_letters(PROFILE, html, base) == [f"{base}a/", f"{base}b/"]


def test_people_in_the_pages_order_without_hostile_names() -> None:
    html = """<div class="models_list row my-5"><a href="/photos/tom_hardy/">Tom Hardy</a><a href="/photos/Ana/">Ana</a>
    <a href="/photos/%2e%2e%2f/">up</a><a href="/news/">news</a><a href="https://x.example/photos/eve/">Eve</a></div>"""
    people = parse_people(PROFILE, html, "https://www.theplace.ru/photos/a/")
    assert [(link.person, link.name) for link in people] == [("tom_hardy", "Tom Hardy"), ("ana", "Ana")]


def test_person() -> None:
    page = parse_person(PROFILE, PERSON, URL)
    assert (page.name, page.listed_photos) == ("Tom Hardy", 312)
    assert page.photo_pages == [f"{URL}p1", f"{URL}p2"]
    assert page.further_pages == [f"{URL}?page=2", f"{URL}?page=10"]


@pytest.mark.parametrize(
    "card",
    [
        '<div class="row gx-1 justify-content-center"><a href="p1">1</a></div>',
        '<div class="gallery-pics-list photos-pics-list"><div class="photos-pic-card">'
        '<a class="photos-pic-card__link" href="p1">1</a></div></div>',
        '<div class="p-1"><div class="gallery-photo-card"><a href="p1">1</a></div></div>',
    ],
)
def test_older_markup_of_cards(card: str) -> None:
    assert parse_person(PROFILE, card, URL).photo_pages == [f"{URL}p1"]


@pytest.mark.parametrize(
    "image",
    [
        '<div class="pic-big-box__main"><span class="s-pic"><img src="/archive/t/img/1.jpg"></span></div>',
        '<img class="pic big_pic" src="/archive/t/img/1.jpg">',
    ],
)
def test_photo(image: str) -> None:
    assert parse_photo(PROFILE, image, URL) == "https://www.theplace.ru/archive/t/img/1.jpg"


@pytest.mark.parametrize("parse", [parse_letters, parse_people, parse_person, parse_photo])
def test_a_page_that_matches_nothing_is_drift_that_names_page_and_selectors(parse) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DriftError) as error:
        parse(PROFILE, "<p>We have a new design!</p>", URL)
    assert URL in str(error.value)
    assert "selectors tried: " in str(error.value)


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"profiles are theplace\.ru"):
        find_profile("thespace.ru")

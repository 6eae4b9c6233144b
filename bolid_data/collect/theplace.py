"""thePlace-style sites: what is known of a site is data (a Profile), reading a page is a pure function.

A selector is a claim about a page that may change: they are tried in order, and a page that should list something
and matches none is drift, an error that names the page and the selectors, never an empty result.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from bolid_data.errors import BolidError, UsageError
from bolid_data.names import slug

Selectors = tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """What is known of one site: selectors in the order they are tried."""

    name: str
    origin: str  # addresses are stored under it, wherever the pages were served
    start: str  # path of the page that lists the letters
    encoding: str
    person_path: str  # regular expression of a person's path; group 1 is the name that becomes the slug
    letters: Selectors
    people: Selectors
    person_name: Selectors
    photo_count: Selectors
    cards: Selectors
    pages: Selectors
    image: Selectors


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="theplace.ru",
            origin="https://www.theplace.ru",
            start="/photos/",
            encoding="utf-8",
            person_path=r"/photos/([^/?#]+)/?$",
            letters=("div.letters-list a[href]",),
            people=("div.models_list.row.my-5 a[href]", "div.model-item a.model-link[href]"),
            person_name=("h1.my-3",),
            photo_count=(".main-col-content > div.d-none.d-sm-block p",),
            cards=(
                "div.row.gx-1.justify-content-center a[href]",
                "div.gallery-pics-list.photos-pics-list .photos-pic-card a.photos-pic-card__link[href]",
                "div.p-1 .gallery-photo-card a[href]",
            ),
            pages=("div.listalka a[href]",),
            image=("div.pic-big-box__main > span.s-pic > img[src]", "img.pic.big_pic[src]"),
        ),
    )
}


def find_profile(name: str) -> Profile:
    if name not in PROFILES:
        raise UsageError(f"source.profile: '{name}' is not known; profiles are {', '.join(sorted(PROFILES))}")
    return PROFILES[name]


class DriftError(BolidError):
    """A page that should list something matched no selector."""

    def __init__(self, page: str, what: str, selectors: Selectors) -> None:
        tried = " | ".join(selectors)
        super().__init__(f"{page}: no {what} found; the site may have changed (selectors tried: {tried})")


@dataclass(frozen=True)
class PersonLink:
    person: str
    url: str
    name: str


@dataclass(frozen=True)
class PersonPage:
    name: str
    listed_photos: int | None
    photo_pages: list[str]
    further_pages: list[str]


def parse_letters(profile: Profile, html: str, url: str) -> list[str]:
    """Addresses of the letters' pages."""
    return _links(profile.letters, LexborHTMLParser(html), url) or _drift(url, "letters", profile.letters)


def parse_people(profile: Profile, html: str, url: str) -> list[PersonLink]:
    """People a letter's page lists, in its order; a link that is no person's page is passed over."""
    tree = LexborHTMLParser(html)
    people: dict[str, PersonLink] = {}
    for node in _first(profile.people, tree):
        link = urljoin(url, node.attributes["href"] or "")
        match = re.search(profile.person_path, urlsplit(link).path)
        person = slug(unquote(match[1])) if match and _same_site(link, url) else ""
        if person:
            people.setdefault(person, PersonLink(person, link, node.text(strip=True) or person))
    return list(people.values()) or _drift(url, "people", profile.people)


def parse_person(profile: Profile, html: str, url: str) -> PersonPage:
    """One page of a person's gallery: photo pages in the page's order, and the further pages it links to."""
    tree = LexborHTMLParser(html)
    cards = _links(profile.cards, tree, url) or _drift(url, "photo cards", profile.cards)
    names = _first(profile.person_name, tree)
    counts = (_count(node) for node in _first(profile.photo_count, tree))
    own = urlsplit(url).path
    pages = [page for page in _links(profile.pages, tree, url) if urlsplit(page).path == own]
    return PersonPage(
        name=names[0].text(strip=True) if names else "",
        listed_photos=next((count for count in counts if count is not None), None),
        photo_pages=cards,
        further_pages=sorted(pages, key=_page_number),
    )


def parse_photo(profile: Profile, html: str, url: str) -> str:
    """Address of the photo's file."""
    nodes = _first(profile.image, LexborHTMLParser(html)) or _drift(url, "photo", profile.image)
    return urljoin(url, nodes[0].attributes["src"] or "")


def _drift(url: str, what: str, selectors: Selectors) -> list:
    raise DriftError(url, what, selectors)


def _first(selectors: Selectors, tree: LexborHTMLParser) -> list[LexborNode]:
    """What the first selector that matches anything matches."""
    return next((nodes for selector in selectors if (nodes := tree.css(selector))), [])


def _links(selectors: Selectors, tree: LexborHTMLParser, url: str) -> list[str]:
    links = (urljoin(url, node.attributes["href"] or "").split("#")[0] for node in _first(selectors, tree))
    return list(dict.fromkeys(link for link in links if _same_site(link, url)))


def _same_site(link: str, url: str) -> bool:
    return urlsplit(link)[:2] == urlsplit(url)[:2]


def _count(node: LexborNode) -> int | None:
    """The second word of a text such as "Всего 312 фото"."""
    words = node.text().split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


def _page_number(url: str) -> tuple[int, str]:
    number = parse_qs(urlsplit(url).query).get("page", [""])[0]
    return (int(number) if number.isdecimal() else 0, url)

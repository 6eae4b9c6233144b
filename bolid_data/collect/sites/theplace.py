"""Parses the pages of thePlace-style sites: pure functions from HTML to items, with a site's profile as data.

A page that should list something but has no usable item under any selector is drift: an error that names the page and
the selectors, never an empty result. Addresses are returned absolute and normalised, and are on the page's site, except
for the photo's file, which may be elsewhere.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from bolid_data.collect.http.address import comparable, normalise, resolve_link
from bolid_data.collect.sites.profiles import PROFILES, Items, Profile
from bolid_data.errors import BolidError, UsageError
from bolid_data.names import clean_name, letters, slug

MAX_LINKS = 50_000  # on one page; nested containers match the same link again and again
MAX_DEPTH = 512  # browsers build no deeper trees; parsing and selecting cost size × depth

T = TypeVar("T")


class DriftError(BolidError):
    """A page that should list something has no item under any selector."""

    def __init__(self, page: str, what: str, selectors: Iterable[Items]) -> None:
        self.page, self.what, self.selectors = page, what, tuple(map(str, selectors))
        tried = " | ".join(self.selectors) or "none"
        super().__init__(f"{page}: no {what} found; the site may have changed (selectors tried: {tried})")


@dataclass(frozen=True)
class PersonLink:
    person: str
    url: str
    name: str
    listed_photos: int | None


@dataclass(frozen=True)
class Card:
    """A photo's page, and the photo's size in pixels if the card states it."""

    url: str
    width: int | None
    height: int | None


@dataclass(frozen=True)
class PersonPage:
    name: str
    listed_photos: int | None
    cards: list[Card]
    further_pages: list[str]


@dataclass(frozen=True)
class _Item:
    """An item as parsed from the page."""

    url: str
    name: str
    count: int | None
    size: tuple[int, int] | tuple[None, None]


def find_profile(name: str) -> Profile:
    if name not in PROFILES:
        raise UsageError(f"source.profile: '{name}' is not known; profiles are {', '.join(PROFILES)}")
    return PROFILES[name]


def parse_letters(profile: Profile, html: str, url: str) -> list[str]:
    """Addresses of the letters' pages; the start page comes first if it lists people itself."""
    here = normalise(url, url) if profile.start_lists_people else None
    if not profile.letters:
        return [here or url]
    site = _site(url)
    links = _first_usable(profile.letters, _tree(html, url), url, lambda item: _on_site(site, item.url))
    if not links:
        raise DriftError(url, "letters", profile.letters)
    return list(dict.fromkeys([here, *links] if here else links))


def parse_people(profile: Profile, html: str, url: str) -> list[PersonLink]:
    """The people that a letter's page lists, in its order; links to other pages are ignored."""
    site = _site(url)

    def person(item: _Item) -> PersonLink | None:
        match = re.fullmatch(profile.person_path, urlsplit(item.url).path) if _on_site(site, item.url) else None
        name = slug(unquote(match[1])) if match else ""
        return PersonLink(name, item.url, item.name, item.count) if name else None

    people: dict[tuple[str, str], PersonLink] = {}
    for link in _first_usable(profile.people, _tree(html, url), url, person):
        page = link.person, letters(unquote(urlsplit(link.url).path))
        first = people.get(page, link)  # a picture and a name may both link to one person
        count = first.listed_photos if first.listed_photos is not None else link.listed_photos
        people[page] = PersonLink(link.person, first.url, first.name or link.name, count)
    if not people:
        raise DriftError(url, "people", profile.people)
    return [PersonLink(p.person, p.url, p.name or p.person, p.listed_photos) for p in people.values()]


def parse_person(profile: Profile, html: str, url: str) -> PersonPage:
    """One page of a person's gallery: cards in the page's order, and the person's other pages that it links to, by
    number.

    No cards is drift, unless the page states 0 photos.
    """
    tree, site = _tree(html, url), _site(url)
    counts = (read_count(node.text()) for selector in profile.photo_count for node in tree.css(selector))
    listed = next((count for count in counts if count is not None), None)
    names = (clean_name(node.text(separator=" ")) for selector in profile.person_name for node in tree.css(selector))

    def card(item: _Item) -> Card | None:
        return Card(item.url, *item.size) if _on_site(site, item.url) else None

    cards: dict[str, Card] = {}
    for usable in _first_usable(profile.cards, tree, url, card):
        key = comparable(usable.url)
        if key not in cards or cards[key].width is None:
            cards[key] = usable
    if not cards and listed != 0:
        raise DriftError(url, "photo cards", profile.cards)
    pages = _first_usable(profile.pages, tree, url, lambda item: _on_site(site, item.url))
    return PersonPage(next(filter(None, names), ""), listed, list(cards.values()), _further(profile, pages, url))


def parse_photo(profile: Profile, html: str, url: str) -> str:
    """The address of the photo's full-size file."""

    def file(item: _Item) -> str | None:
        return None if re.search(r"(?:/|\.html?|\.php)$", urlsplit(item.url).path) else item.url

    files = _first_usable(profile.image, _tree(html, url), url, file)
    if not files:
        raise DriftError(url, "photo", profile.image)
    parts = urlsplit(files[0])
    path = parts.path
    for pattern, replacement in profile.original:
        path = re.sub(pattern, replacement, path)
    original = resolve_link(parts._replace(path=path).geturl(), url) if path != parts.path else None
    return original or files[0]


def read_count(text: str) -> int | None:
    """The number of photos in a text, as its first or second word: 312, (312), "Всего 312 фото", "1 024 фото"."""
    number = r"([0-9]{1,3}(?:[\s.,'][0-9]{3})+|[0-9]{1,9})(?![0-9])"
    match = re.match(rf"[^\w]*(?:[^\W\d]+[^\w]+)?{number}", text.strip()[:200])
    return int(re.sub(r"[^0-9]", "", match[1])) if match else None


def read_size(text: str) -> tuple[int, int] | tuple[None, None]:
    """Width and height in a text such as "850x1000", with any of the characters that are used for ×."""
    match = re.search(r"(?<![0-9])([0-9]{1,5})\s*[x×х*]\s*([0-9]{1,5})(?![0-9])", text[:200], re.IGNORECASE)
    return (int(match[1]), int(match[2])) if match else (None, None)


# Elements that are never closed, or closed implicitly: they do not make a tree deep.
_FLAT = re.compile(
    "html|head|body|area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr|"
    "a|p|li|td|th|tr|tbody|thead|tfoot|colgroup|dt|dd|rt|rp"
)
_TAGS = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<(script|style)\b.*?(?:</\1|\Z)|<(/?)([a-z][^\s/>]*)", re.IGNORECASE | re.DOTALL
)
_CROWDED = re.compile(
    r"""<[a-z](?:[^<>\s"'/=]*+(?:=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"']++))?+[\s/]++){500}""", re.IGNORECASE
)  # a tag of 500 attributes


def _tree(html: str, url: str) -> LexborHTMLParser:
    """The page's tree. Extreme depth or numbers of attributes, which would take the parser hours, are drift."""
    if _CROWDED.search(html):
        raise DriftError(url, "tag of at most 500 attributes", ())
    open_tags: Counter[str] = Counter()
    depth = 0
    for tag in _TAGS.finditer(html):
        name = (tag[3] or "").lower()
        if not name or _FLAT.fullmatch(name):
            continue
        if not tag[2]:
            open_tags[name] += 1
            depth += 1
        elif open_tags[name]:
            open_tags[name] -= 1
            depth -= 1
        if depth > MAX_DEPTH:
            raise DriftError(url, f"tree of at most {MAX_DEPTH} levels", ())
    return LexborHTMLParser(html)


def _first_usable(
    fallbacks: Iterable[Items], tree: LexborHTMLParser, url: str, convert: Callable[[_Item], T | None]
) -> list[T]:
    """The results of `convert` for the items of the first fallback with any result that is not None."""
    base = _base(tree, url)
    for items in fallbacks:
        if usable := [result for item in _find_items(items, tree, url, base) if (result := convert(item)) is not None]:
            return usable
    return []


def _base(tree: LexborHTMLParser, url: str) -> str:
    """The base URL of the page: its first `<base href>`, or its own address (HTML, 2.4.3)."""
    element = tree.css_first("base[href]")
    return (element and normalise((element.attributes.get("href") or "").strip(), url)) or url


def _find_items(items: Items, tree: LexborHTMLParser, url: str, base: str) -> Iterable[_Item]:
    budget = MAX_LINKS
    for container in tree.css(items.selector):
        links = container.css(items.link) if items.link else [container]
        budget -= len(links)
        if budget < 0:
            raise DriftError(url, f"page of at most {MAX_LINKS} links", [items])
        addresses = [(address, link) for link in links if (address := _address(link, base))]
        is_only = len({address for address, _ in addresses}) == 1  # then the container describes only this item
        for address, link in addresses:
            node = container if is_only else link
            name = _text(node, items.name) if items.name else _text(link)
            count = read_count(_text(node, items.count)) if items.count else None
            size = read_size(_text(node, items.size)) if items.size else (None, None)
            yield _Item(address, clean_name(name), count, size)


def _address(link: LexborNode, url: str) -> str | None:
    """The address of a link or an image; None for a link to the page itself ("", "#top")."""
    address = (link.attributes.get("href") or link.attributes.get("src") or "").strip()
    return None if not address or address.startswith("#") else resolve_link(address, url)


def _text(node: LexborNode, selector: str = "") -> str:
    chosen = node.css_first(selector) if selector else node
    return chosen.text(separator=" ")[:1_000] if chosen else ""


def _site(url: str) -> str:
    """Scheme and host of an address, the prefix of every normalised address of its site."""
    parts = urlsplit(normalise(url, url) or "")
    return f"{parts.scheme}://{parts.netloc}/"


def _on_site(site: str, address: str) -> str | None:
    return address if address.startswith(site) else None


def _further(profile: Profile, links: Iterable[str], url: str) -> list[str]:
    """The other pages of the person to whom `url` belongs, sorted by number."""
    person, here = _gallery_page(profile, normalise(url, url) or "") or (None, None)
    pages: dict[int, str] = {}
    for link in links:
        other, number = _gallery_page(profile, link) or (None, None)
        if number is not None and other == person and number != (here or 1):
            pages.setdefault(number, link)
    return [pages[number] for number in sorted(pages)]


def _gallery_page(profile: Profile, url: str) -> tuple[str, int | None] | None:
    """The person to whom an address belongs, and its page number if it has one."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    for pattern in profile.gallery_pages:
        if match := re.fullmatch(pattern, path):
            page = match.groupdict().get("page")
            return match["person"], int(page) if page else None
    return None

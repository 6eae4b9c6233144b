"""Profiles of thePlace-style sites, as data. `theplace.py` parses pages with them.

A selector may break when a page changes, so there are fallbacks, tried in order. A selector that no source confirms,
but that a page of this kind is likely to match, is marked as a guess.
"""

from dataclasses import dataclass

_PAGE_IN_QUERY = r"(?=(?:.*&)?page=(?P<page>[0-9]{1,6})(?:&|$)|)"  # anywhere in the query, or absent


@dataclass(frozen=True)
class Items:
    """Selectors of one kind of item on a page. An item's link may be in a container together with its description."""

    selector: str  # the container, or the link itself where `link` is empty
    link: str = ""
    name: str = ""  # where empty, the link's text
    count: str = ""
    size: str = ""

    def __str__(self) -> str:
        return f"{self.selector} {self.link}".strip()


@dataclass(frozen=True)
class Profile:
    """One site; selectors in the order in which they are tried."""

    name: str
    origin: str  # addresses are stored under it, wherever the pages are served
    start: str  # path of the page that lists the letters
    encoding: str
    person_path: str  # regular expression for a person's full path; group 1 becomes the slug
    gallery_pages: tuple[str, ...]  # path and query of a person's pages: groups `person` and, if not the first, `page`
    letters: tuple[Items, ...]  # none: the start page is the only list of people
    people: tuple[Items, ...]
    person_name: tuple[str, ...]
    photo_count: tuple[str, ...]
    cards: tuple[Items, ...]
    pages: tuple[Items, ...]
    image: tuple[Items, ...]
    start_lists_people: bool = False  # the start page is also the first letter's page
    original: tuple[tuple[str, str], ...] = ()  # rewrites of an image's path to the full-size file


# /cache/archive/a/img/1-gthumb-gwdata1200-ghdata1200-gfitdatamax.jpg is a scaled /archive/a/img/1.jpg
_UNCACHED = ((r"^/cache(?=/)", ""), (r"(?i)-gthumb-[^/]*(?=\.\w+$)", ""))
_NO_THUMBNAIL = ((r"(?i)_s(?=\.\w+$)", ""),)

_MD_PERSON = r"/photos/([^/]+-md[0-9]+)/?"
_MD_GALLERY = (r"/photos/[^/]*-md(?P<person>[0-9]+)(?:/(?:page(?P<page>[0-9]{1,6})/?)?)?",)

MODERN = Profile(
    name="theplace.ru",
    origin="https://www.theplace.ru",
    start="/photos/",
    encoding="utf-8",
    person_path=r"/photos/([^/]+)/?",
    gallery_pages=(rf"/photos/(?P<person>[^/?]+)/?(?:\?{_PAGE_IN_QUERY}.*)?",),
    letters=(Items("div.letters-list a[href]"),),
    people=(Items("div.models_list.row.my-5 a[href]"), Items("div.model-item a.model-link[href]")),
    person_name=("h1.my-3", "h1"),  # the second is a guess
    photo_count=(".main-col-content > div.d-none.d-sm-block p",),
    cards=(
        Items("div.row.gx-1.justify-content-center a[href]"),
        Items("div.gallery-pics-list.photos-pics-list .photos-pic-card a.photos-pic-card__link[href]"),
        Items("div.p-1 .gallery-photo-card a[href]"),
    ),
    pages=(Items("div.listalka a[href]"),),
    image=(Items("div.pic-big-box__main > span.s-pic > img[src]"), Items("img.pic.big_pic[src]")),
    original=_UNCACHED,
)

LEGACY = Profile(
    name="theplace.ru-legacy",
    origin="http://www.theplace.ru",
    start="/photos/",  # a guess
    encoding="cp1251",
    person_path=r"/photos/([^/]+-mid[0-9]+)\.html",
    gallery_pages=(
        r"/photos/[^/]*-mid(?P<person>[0-9]+)\.html",
        rf"/photos/gallery\.php\?(?=(?:.*&)?id=(?P<person>[0-9]+)(?:&|$)){_PAGE_IN_QUERY}.*",
    ),
    letters=(),
    start_lists_people=True,
    people=(Items("table#models_list a[href]"), Items(".m-box a.t[href]")),
    person_name=("h1",),  # a guess
    photo_count=(),
    cards=(Items(".gallery-pics-list .pic_box a[href]"), Items(".pic_box a[href]")),  # the second is a guess
    pages=(Items(".listalka.ltop a[href]"), Items(".listalka a[href]")),  # the second is a guess
    image=(Items(".pic-big-box img[src]"), Items("img.pic.big_pic[src]")),  # the second is a guess
    original=_NO_THUMBNAIL,
)

SECOND = Profile(
    name="theplace2.ru",
    origin="https://www.theplace2.ru",
    start="/photos/celebs-A.html",
    encoding="utf-8",
    person_path=_MD_PERSON,
    gallery_pages=_MD_GALLERY,
    letters=(Items('a[href*="/photos/celebs-"]'),),
    start_lists_people=True,
    people=(
        Items("div.model_id", link="a.model_box[href]", name="span.name", count="span.num"),
        Items("a.model_box[href]", name="span.name", count="span.num"),  # a guess
    ),
    person_name=("h1",),  # a guess
    photo_count=(),
    cards=(
        Items("div.pic_box", link="a[href*='pic-']", size="div.size"),
        Items("div.pic_box", link="a[href]", size="div.size"),
    ),
    pages=(Items(".listalka a[href]"), Items('a[href*="/page"]')),  # guesses
    image=(  # guesses
        Items(".pic-big-box img[src]"),
        Items("img.pic.big_pic[src]"),
        Items('img[src*="/archive/"]'),
    ),
    original=_UNCACHED + _NO_THUMBNAIL,
)

DASHED = Profile(
    name="theplace-2.com",
    origin="https://www.theplace-2.com",
    start="/photos/",  # a guess
    encoding="utf-8",
    person_path=_MD_PERSON,
    gallery_pages=_MD_GALLERY,
    letters=(Items("div.box_photo_letters a.letter-item[href]"),),
    people=(
        Items(
            ".model-card__body",
            link="a.model-card__body__title[href]",
            count=".model-card__body__data span",
        ),
    ),
    person_name=("h1",),  # a guess
    photo_count=(),
    cards=(Items(".pic-card", link="a.link[href*='pic-']", size="span.size-wr"),),
    pages=(Items("nav[aria-label*='pagination'] a.page-link[href]"),),
    image=(Items(".big-photo-wrapper a[href]"), Items("a.fancybox[href]")),
    original=_UNCACHED,
)

PROFILES = {profile.name: profile for profile in (MODERN, LEGACY, SECOND, DASHED)}

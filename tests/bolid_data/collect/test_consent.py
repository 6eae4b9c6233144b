import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import stamina
from hypothesis import example, given
from hypothesis import strategies as st

from bolid_data import manifest as manifests
from bolid_data.collect.http.consent import (
    Robots,
    TdmRules,
    header_opt_out,
    list_header_opt_out,
    meta_opt_out,
    tdm_opt_out,
)
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from tests.bolid_data.collect.sources.test_gallery_site import people, rows
from tests.bolid_data.collect.test_hostile import crawl, fetch, stored, write_csv
from tests.support.fault_site import Exchange, Hostile, serve
from tests.support.gallery_site import Site

RULES = "User-agent: *\nDisallow: /private/\nCrawl-delay: 2\n\nUser-agent: otherbot\nDisallow: /\n"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PHOTO = "https://a.example/archive/1.jpg"


def test_robots_are_obeyed() -> None:
    robots = Robots(200, RULES)
    assert robots.allows("https://a.example/photos/")
    assert not robots.allows("https://a.example/private/1.jpg")
    assert robots.crawl_delay == 2


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (503, False), (None, False)])
def test_robots_that_cannot_be_had(status: int | None, allowed: bool) -> None:
    assert Robots(status, "").allows("https://a.example/") is allowed


@given(st.text() | st.from_regex(r"(User-agent: (\*|bolid)\n((Dis)?[Aa]llow|Crawl-delay): [^\n]{0,20}\n)+"))
@example("User-agent: *\nCrawl-delay: inf\n")
@example("User-agent: *\nCrawl-delay: nan\n")
def test_no_robots_txt_breaks_a_crawl(text: str) -> None:
    robots = Robots(200, text)
    assert robots.allows(PHOTO) in (True, False)
    assert 0 <= robots.crawl_delay < float("inf")


@pytest.mark.parametrize("name", ["http_500", "reset", "brotli", "busy_for_an_hour"])
def test_a_host_whose_robots_cannot_be_had_is_not_asked_for_anything(name: str, tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2)))) as site, stamina.set_testing(True):
        site.faults["/robots.txt"] = name
        with pytest.raises(BolidError, match=r"http://127\.0\.0\.1:\d+/photos/: "):
            crawl(site, tmp_path)
        assert {exchange.path for exchange in site.log} == {"/robots.txt"}
        assert site.canary == []


def test_the_beginning_of_an_endless_robots_txt_is_obeyed(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2)))) as site:
        site.site.robots = "\ufeffUser-agent: *\nDisallow: /archive/\n" + "# RFC 9309, 2.5: 500 KiB are read\n" * 20_000
        assert crawl(site, tmp_path)["reasons"] == {"robots": 2}
        assert not site.sent("/archive")


def test_a_robots_txt_on_another_host_is_obeyed(tmp_path: Path) -> None:
    """RFC 9309, 2.3.1.2: redirects are followed, even across authorities."""
    other = Hostile(Site(people(1), robots="User-agent: *\nDisallow: /archive/\n"))
    with serve(Hostile(Site(people(1)))) as site, serve(other):
        site.faults["/robots.txt"], site.elsewhere = "redirect_elsewhere", f"{other.base_url}/robots.txt"
        addresses = [f"{host.base_url}/archive/person_0/img/0.jpg" for host in (other, site)]
        write_csv(tmp_path / "list.csv", [("Anna", address) for address in addresses])
        fetch(tmp_path)
        assert site.sent("/archive") == []


# X-Robots-Tag.


@pytest.mark.parametrize(
    ("headers", "opt_out"),
    [
        ([], None),
        (["all"], None),
        (["noai"], "x-robots-tag: noai"),
        (["max-snippet: 5, NoImageAI"], "x-robots-tag: noimageai"),
        (["none"], "x-robots-tag: none"),
        (["otherbot: noai"], None),
        (["bolid: noindex"], "x-robots-tag: noindex"),
        (["otherbot: nofollow", "noai"], "x-robots-tag: noai"),
        (["otherbot: noai, nofollow, bolid: all"], None),
        (["otherbot: all, BOLID : NoAI"], "x-robots-tag: noai"),
        (["unavailable_after: Wed, 25 Jun 2098 15:00:00 GMT, noai"], "x-robots-tag: noai"),
        (["unavailable_after: Wed, 25 Jun 2098 15:00:00 GMT"], None),
        (["unavailable_after: Wed, 25 Jun 2025 15:00:00 GMT"], "x-robots-tag: unavailable_after"),
        (["otherbot: unavailable_after: 25 Jun 2025 15:00:00 PST"], None),
    ],
)
def test_opt_outs_of_photos_in_headers(headers: list[str], opt_out: str | None) -> None:
    assert header_opt_out(headers, NOW) == opt_out


@pytest.mark.parametrize(
    ("header", "opt_out"),
    [("noindex", None), ("nofollow", "x-robots-tag: nofollow"), ("noai", "x-robots-tag: noai"), ("x: nofollow", None)],
)
def test_a_page_of_links_may_be_out_of_the_index_and_still_be_followed(header: str, opt_out: str | None) -> None:
    assert list_header_opt_out([header]) == opt_out


@given(st.lists(st.text(max_size=200)))
def test_no_header_breaks_a_crawl(headers: list[str]) -> None:
    header_opt_out(headers)
    list_header_opt_out(headers)


_FORMATS: list[Callable[[datetime], str]] = [
    lambda date: format_datetime(date, usegmt=True),  # Wed, 25 Jun 2098 15:00:00 GMT
    lambda date: format(date, "%A, %d-%b-%y %H:%M:%S GMT"),  # of RFC 850
    lambda date: format(date, "%d %b %Y %H:%M:%S PST"),
    datetime.isoformat,
]
_TO_COME = st.datetimes(datetime(2027, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
_DATES = st.builds(lambda format, date: f"unavailable_after: {format(date)}", st.sampled_from(_FORMATS), _TO_COME)
_HARMLESS = st.sampled_from(["all", "noarchive", "max-snippet: -1", "max-image-preview:large", "notranslate"]) | _DATES
_AGENTS = st.from_regex(r"[a-z][a-z0-9-]{0,12}bot", fullmatch=True)


def _as_written(directive: str, upper: bool, before: str, after: str) -> str:
    return before + (directive.upper() if upper else directive) + after


_OPT_OUTS = st.builds(
    _as_written,
    st.sampled_from(["noai", "noimageai", "none", "noindex", "noimageindex"]),
    st.booleans(),
    st.sampled_from(["", " ", "\t"]),
    st.sampled_from(["", " "]),
)


@given(st.lists(_HARMLESS), _OPT_OUTS, st.lists(_HARMLESS), st.sampled_from(["", "bolid: ", "*: ", "Bolid :"]))
def test_an_opt_out_for_us_is_found_wherever_it_stands(
    before: list[str], opt_out: str, after: list[str], agent: str
) -> None:
    expected = f"x-robots-tag: {opt_out.strip().lower()}"
    header = agent + ", ".join([*before, opt_out, *after])
    assert header_opt_out(["otherbot: all", header], NOW) == expected
    assert header_opt_out([f"otherbot: all, bolid: {', '.join([*before, opt_out, *after])}"], NOW) == expected


@given(_AGENTS, st.lists(_HARMLESS), _OPT_OUTS, st.lists(_HARMLESS))
def test_an_opt_out_for_another_agent_is_not_ours(
    agent: str, before: list[str], opt_out: str, after: list[str]
) -> None:
    assert header_opt_out([f"{agent}: {', '.join([*before, opt_out, *after])}", "all"], NOW) is None


@given(
    st.sampled_from(_FORMATS[:2] + _FORMATS[3:]),
    st.integers(2, 3000),
    st.lists(_HARMLESS.filter(lambda d: ":" not in d)),
)
def test_a_photo_counts_as_opted_out_once_its_date_has_passed(
    form: Callable[[datetime], str], days: int, after: list[str]
) -> None:
    for date, opt_out in ((NOW - timedelta(days), "x-robots-tag: unavailable_after"), (NOW + timedelta(days), None)):
        assert header_opt_out([", ".join([f"unavailable_after: {form(date)}", *after])], NOW) == opt_out


# Meta elements.


@pytest.mark.parametrize(
    ("html", "photo", "links"),
    [
        ('<meta name="robots" content="noai">', "meta robots: noai", "meta robots: noai"),
        ("<META CONTENT='index, NoImageAI' NAME=Robots>", "meta robots: noimageai", "meta robots: noimageai"),
        ('<meta name="bolid" content="noindex">', "meta bolid: noindex", None),
        ('<meta name="robots" content="nofollow">', None, "meta robots: nofollow"),
        ('<meta name="otherbot" content="noai">', None, None),
        ('<meta name="description" content="noai">', None, None),
        ('<meta name="robots" content="index, follow"><meta name="tdm-reservation" content="1">',)
        + ("meta tdm-reservation: 1",) * 2,
        ('<meta name="tdm-reservation" content="0">', None, None),
        ('<!-- <meta name="robots" content="noai"> -->', None, None),
        ('<meta name="robots"><meta content="noai"><meta name="robots" content>', None, None),
    ],
)  # fmt: skip
def test_opt_outs_in_meta_elements(html: str, photo: str | None, links: str | None) -> None:
    page = f"<!doctype html><head>{html}</head><body><p>noai</p>"
    assert (meta_opt_out(page, links=False), meta_opt_out(page, links=True)) == (photo, links)


@given(st.text(), st.text())
def test_no_page_breaks_a_crawl(text: str, content: str) -> None:
    meta_opt_out(f"{text}<meta name=robots content='{content}'>{text}", links=False)


# TDMRep.


@pytest.mark.parametrize(
    ("rules", "opt_out"),
    [
        ([], None),
        ([{"location": "/", "tdm-reservation": 1}], "tdmrep.json"),
        ([{"location": "/archive/*", "tdm-reservation": 1, "tdm-policy": "https://a.example/"}], "tdmrep.json"),
        ([{"location": "*.jpg$", "tdm-reservation": 1}], "tdmrep.json"),
        ([{"location": "/", "tdm-reservation": 1}, {"location": "/archive/", "tdm-reservation": 0}], None),
        ([{"location": "/", "tdm-reservation": 0}, {"location": "/archive/", "tdm-reservation": 1}], "tdmrep.json"),
        ([{"location": "/news/", "tdm-reservation": 1}], None),
        ([{"location": "/news/\nDisallow: /", "tdm-reservation": 0}], None),
        ([{"location": "/news/\u2028Disallow: /", "tdm-reservation": 0}], None),
        ({"location": "/", "tdm-reservation": 1}, None),  # no list: no such file
    ],
)
def test_paths_reserved_by_tdmrep(rules: object, opt_out: str | None) -> None:
    assert TdmRules(json.dumps(rules)).opt_out(PHOTO) == opt_out


@pytest.mark.parametrize(
    ("header", "opt_out"), [("1", "tdm-reservation: 1"), (" 1 ", "tdm-reservation: 1"), ("0", None)]
)
def test_the_header_comes_before_the_hosts_rules(header: str, opt_out: str | None) -> None:
    reserved = TdmRules('[{"location": "/", "tdm-reservation": 1}]')
    assert tdm_opt_out(header, reserved, PHOTO) == opt_out
    assert tdm_opt_out(None, reserved, PHOTO) == "tdmrep.json"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["location", "tdm-reservation", "x"]), inner),
)


@given(st.text() | _JSON.map(json.dumps))
@example("[" * 100_000)
@example('[{"location": "\\ud800", "tdm-reservation": 1}]')
def test_no_tdmrep_breaks_a_crawl(text: str) -> None:
    TdmRules(text).opt_out(PHOTO)


# Asking again.


def states(folder: Path) -> list[tuple[str, str, str | None]]:
    sql = "SELECT split_part(url, '/', -1), state, consent FROM sightings ORDER BY url"
    return [(name, state, consent) for name, state, consent in rows(folder, sql)]


def test_a_recheck_finds_who_has_opted_out_since(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(7), per_page=10))) as site:
        crawl(site, tmp_path)
        before = len(site.log)
        site.plan("person_0", 1, "opted_out_header")
        site.faults["/photos/person_0/pic/2"] = "meta_noai"
        site.tdmrep = json.dumps([{"location": "/archive/person_0/img/3.jpg", "tdm-reservation": 1}])
        site.plan("person_0", 4, "http_410")
        site.site.people["person_0"][5] += b"changed"
        site.plan("person_0", 6, "tdm_header")
        stats = crawl(site, tmp_path, recheck_consent=True)
        asked = [exchange for exchange in site.log[before:] if exchange.path.startswith("/archive")]
    assert states(tmp_path) == [
        ("0.jpg", "stored", "allowed"),
        ("1.jpg", "opted_out", "x-robots-tag: noai"),
        ("2.jpg", "opted_out", "meta robots: noai"),
        ("3.jpg", "opted_out", "tdmrep.json"),
        ("4.jpg", "stored", "allowed"),
        ("5.jpg", "stored", "allowed"),
        ("6.jpg", "opted_out", "tdm-reservation: 1"),
    ]
    assert {name: stats[name] for name in ("opted_out", "gone", "changed", "unchanged", "new")} == {
        "opted_out": 4,
        "gone": 1,
        "changed": 1,
        "unchanged": 1,
        "new": 0,
    }
    assert rows(tmp_path, "SELECT url FROM sightings WHERE gone_at IS NOT NULL") == [
        ("https://www.theplace.ru/archive/person_0/img/4.jpg",)
    ]
    assert {exchange.method for exchange in asked} == {"HEAD"}, "no photo is fetched for that"
    zero, _, _, _, four, five, _ = site.site.people["person_0"]
    assert stored(tmp_path) == {zero, four, five.removesuffix(b"changed")}, "the bytes of the others leave at once"


def test_a_server_that_knows_no_head_is_asked_again_all_the_same(tmp_path: Path) -> None:
    async def no_head(site: Hostile, exchange: Exchange, body: bytes) -> None:
        if exchange.method == "HEAD":
            await exchange.answer(405)
        else:
            await site.honest(exchange, await site.body(exchange.path), {"X-Robots-Tag": "noai"})

    with serve(Hostile(Site(people(1)))) as site:
        crawl(site, tmp_path)
        site.everywhere = no_head
        assert crawl(site, tmp_path, recheck_consent=True)["opted_out"] == 1
    assert states(tmp_path) == [("0.jpg", "opted_out", "x-robots-tag: noai")]


def test_who_opted_out_at_a_recheck_is_not_asked_again(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2)))) as site:
        crawl(site, tmp_path)
        site.plan("person_0", 1, "opted_out_header")
        crawl(site, tmp_path, recheck_consent=True)
        before = len(site.log)
        crawl(site, tmp_path)
        crawl(site, tmp_path, recheck_consent=True)
        assert not any("1.jpg" in exchange.path for exchange in site.log[before:])
    assert states(tmp_path)[1] == ("1.jpg", "opted_out", "x-robots-tag: noai")


def test_a_recheck_of_a_list_finds_opt_outs(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2)))) as site:
        urls = [f"{site.base_url}/archive/person_0/img/{number}.jpg" for number in range(2)]
        write_csv(tmp_path / "list.csv", [(person, url) for person in ("Anna", "Berta") for url in urls])
        fetch(tmp_path)
        site.plan("person_0", 1, "opted_out_header")
        fetch(tmp_path, recheck_consent=True)
    sightings = rows(tmp_path, "SELECT person, state FROM sightings ORDER BY url, person")
    assert sightings == [("anna", "stored"), ("berta", "stored"), ("anna", "opted_out"), ("berta", "opted_out")]


def test_a_folder_has_nobody_to_ask(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('name = "x"\n[source]\nkind = "folder"\npath = "."\n')
    with pytest.raises(UsageError, match="no addresses on the web to check"):
        scrape(manifests.load(tmp_path / "m.toml"), Dataset(tmp_path / "data"), recheck_consent=True)

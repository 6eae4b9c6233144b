"""What a crawl makes of a site that does every hostile thing; what each comes to stands with the fault itself."""

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import stamina

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from bolid_data.removals import removals_of
from bolid_data.weights import file_sha256
from tests.bolid_data.collect.sources.test_gallery_site import people, rows
from tests.support.fault_site import FAULTS, HOSTILE_LINKS, READABLE, Hostile, serve
from tests.support.gallery_site import Site, photo

MANIFEST = """
name = "hostile"
[source]
kind = "theplace"
base_url = "{base_url}"
min_photos = 1
delay = {delay}
timeout = {timeout}
{more}
"""
SLOW = [name for name, fault in FAULTS.items() if fault.reason == "timeout"]
QUICK = [name for name in FAULTS if name not in SLOW and not name.startswith("stalls")]
SOME_PHOTO = "SELECT state, reason FROM sightings WHERE url NOT LIKE '%/img/0.jpg' AND url NOT LIKE '%/img/2.jpg'"


def crawl(
    site: Hostile, folder: Path, more: str = "", timeout: float = 2.0, delay: float = 0.0, **how: Any
) -> dict[str, Any]:
    (folder / "m.toml").write_text(MANIFEST.format(base_url=site.base_url, timeout=timeout, delay=delay, more=more))
    return scrape(manifests.load(folder / "m.toml"), Dataset(folder / "data"), **how)


def stored(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in Dataset(folder / "data").store.files()}


def one_person(count: int, **faults: int) -> Hostile:
    """A site of one person; `faults` name the photo that has each."""
    site = Hostile(Site(people(count), per_page=10))
    for name, number in faults.items():
        site.plan("person_0", number, name)
    return site


@pytest.fixture
def few_tries() -> Iterator[None]:
    """Two tries and no pause between them; how long the real ones take is seen in `benchmarks/hostile.py`."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_photo_has_its_reason_and_the_others_are_stored(name: str, tmp_path: Path) -> None:
    with serve(one_person(3, **{name: 1})) as site:
        crawl(site, tmp_path)
    assert rows(tmp_path, SOME_PHOTO) == [(FAULTS[name].state, FAULTS[name].reason)]
    zero, one, two = site.site.people["person_0"]
    assert stored(tmp_path) == ({zero, one, two} if FAULTS[name].state == "stored" else {zero, two})
    assert site.canary == []


@pytest.mark.usefixtures("few_tries")
def test_slow_photos_are_given_up_and_the_others_are_stored(tmp_path: Path) -> None:
    with serve(one_person(len(SLOW) + 1, **{name: number for number, name in enumerate(SLOW, start=1)})) as site:
        crawl(site, tmp_path, timeout=0.25)
    sightings = rows(tmp_path, "SELECT state, reason, count(*) FROM sightings GROUP BY ALL ORDER BY ALL")
    assert sightings == [("failed", "timeout", len(SLOW)), ("stored", None, 1)]
    assert stored(tmp_path) == {site.site.people["person_0"][0]}


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize(
    "name",
    ["endless_body", "gzip_bomb", "brotli", "html_as_jpeg", "length_too_long", "length_of_gigabytes", "bad_chunks_late",
     "cut_chunks", "truncated_file", "opted_out_header", "tdm_header", "robots_disallowed"],
)  # fmt: skip
def test_nothing_stays_in_the_inbox_of_which_nothing_can_come(name: str, tmp_path: Path) -> None:
    with serve(one_person(2, **{name: 1})) as site:
        crawl(site, tmp_path)
    assert list(Dataset(tmp_path / "data").store.inbox.iterdir()) == []


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize("name", ["opted_out_header", "tdm_header", "length_of_gigabytes", "http_410"])
def test_what_had_come_of_a_photo_before_it_was_refused_is_discarded(name: str, tmp_path: Path) -> None:
    with serve(one_person(2, stalls_once=0)) as site:
        killed_at_half(site, tmp_path)
        assert list((tmp_path / "data/photos/.inbox").iterdir()), "half a photo"
        site.plan("person_0", 0, name)
        crawl(site, tmp_path)
    assert list(Dataset(tmp_path / "data").store.inbox.iterdir()) == []
    assert stored(tmp_path) == {site.site.people["person_0"][1]}


def test_a_download_that_nothing_came_of_expires(tmp_path: Path) -> None:
    store = Dataset(tmp_path).store
    store.open_inbox()
    for name, days in (("old.part", 8), ("old.W251bGwsbnVsbF0=.whole", 8), ("new.W251bGwsbnVsbF0=.part", 1)):
        (store.inbox / name).write_bytes(b"half a photo")
        os.utime(store.inbox / name, (time.time() - days * 24 * 3600,) * 2)
    store.open_inbox()
    assert [file.name for file in store.inbox.iterdir()] == ["new.W251bGwsbnVsbF0=.part"]


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("http_404", ("failed", "http_404", None)),
        ("http_304_unasked", ("failed", "http_304", None)),
        ("gzip_bomb", ("refused", "too_large", None)),
        ("drift", ("failed", "drift", None)),
        ("meta_noai", ("opted_out", "opted_out", "meta robots: noai")),
        ("meta_tdm", ("opted_out", "opted_out", "meta tdm-reservation: 1")),
        ("opted_out_header", ("opted_out", "opted_out", "x-robots-tag: noai")),
        ("redirect_to_canary", ("refused", "private_address", None)),
    ],
)
def test_a_hostile_photo_page_is_recorded_in_place_of_its_photo(name: str, outcome: Any, tmp_path: Path) -> None:
    with serve(one_person(3)) as site:
        site.faults["/photos/person_0/pic/1"] = name
        if name == "drift":
            with pytest.raises(BolidError, match=r"1 page could not be read.*no photo found"):
                crawl(site, tmp_path)
        else:
            crawl(site, tmp_path)
        assert not site.sent("/archive/person_0/img/1.jpg")
    where = "url = 'https://www.theplace.ru/photos/person_0/pic/1'"
    assert rows(tmp_path, f"SELECT state, reason, consent FROM sightings WHERE {where}") == [outcome]
    assert len(stored(tmp_path)) == 2
    assert site.canary == []


@pytest.mark.parametrize("name", sorted(READABLE | {"etag_nonsense"}))
def test_a_page_that_is_odd_but_can_be_read_is_read(name: str, tmp_path: Path) -> None:
    with serve(one_person(2)) as site:
        site.faults = dict.fromkeys(("/photos/person_0/", "/photos/person_0/pic/1"), name)
        crawl(site, tmp_path)
        assert stored(tmp_path) == {*site.site.people["person_0"]}
        assert crawl(site, tmp_path)["known"] == 2, "and a second crawl reads it as well"
    ((name,),) = rows(tmp_path, "SELECT name FROM people")
    assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u202e]{1,200}", name)


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize(
    ("name", "state", "error"),
    [
        ("drift", "failed", r"no photo cards found"),
        ("huge_html", "failed", r"person_1/: too large"),
        ("gzip_bomb", "failed", r"person_1/: too large"),
        ("gzip_cut", "failed", r"person_1/: "),
        ("http_404", "failed", r"person_1/: http 404"),
        ("http_304_unasked", "failed", r"person_1/: http 304"),
        ("reset", "failed", r"person_1/: unreachable"),
        ("redirect_to_canary", "failed", r"person_1/: private address"),
        ("meta_nofollow", "opted_out", None),
        ("header_nofollow", "opted_out", None),
        ("tdm_header", "opted_out", None),
    ],
)
def test_a_persons_page_that_cannot_be_used_stops_only_its_branch(
    name: str, state: str, error: str | None, tmp_path: Path
) -> None:
    with serve(Hostile(Site(people(2, 2, 2)))) as site:
        site.faults["/photos/person_1/"] = name
        if error:
            with pytest.raises(BolidError, match=error):
                crawl(site, tmp_path)
        else:
            crawl(site, tmp_path)
        assert not site.sent("/photos/person_1/pic")
    assert rows(tmp_path, "SELECT state FROM people WHERE person = 'person_1'") == [(state,)]
    assert stored(tmp_path) == {*site.site.people["person_0"], *site.site.people["person_2"]}
    assert site.canary == []


def test_pages_without_end_are_not_followed(tmp_path: Path) -> None:
    with serve(one_person(3)) as site:
        site.faults["/photos/person_0/"] = "pagination_loop"
        crawl(site, tmp_path)
        assert len(site.sent("/photos/person_0/?page=")) == 1, "it brought nothing new"
    assert len(stored(tmp_path)) == 3


def test_hostile_links_in_a_list_of_people_harm_nobody(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2)))) as site:
        site.faults["/photos/letter-a/"] = "hostile_links"
        with pytest.raises(BolidError, match="pages could not be read"):  # most of them lead to no page
            crawl(site, tmp_path)
    names = rows(tmp_path, "SELECT person, name FROM people")
    assert HOSTILE_LINKS.count("<a") > len(names) > 1
    assert all(re.fullmatch(r"[a-z0-9_-]{1,80}", person) for person, _ in names)
    assert all(re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]{1,200}", name) for _, name in names)
    assert {path.name for path in tmp_path.iterdir()} == {"m.toml", "data"}
    assert stored(tmp_path) == {*site.site.people["person_0"]}


# A download that was cut off by a kill.


def killed_at_half(site: Hostile, folder: Path) -> None:
    """A crawl that is killed in the middle of a photo's body."""
    (folder / "m.toml").write_text(MANIFEST.format(base_url=site.base_url, timeout=30.0, delay=0.0, more=""))
    command = [sys.executable, "-m", "bolid", "scrape", str(folder / "m.toml"), "--data", str(folder / "data")]
    process = subprocess.Popen(command)
    size = len(site.site.people["person_0"][0])
    inbox = folder / "data/photos/.inbox"
    try:
        wait_for(lambda: any(file.stat().st_size == size // 2 for file in inbox.glob("*.part")))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(true: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(("fault", "status"), [("stalls_once", 206), ("stalls_and_ignores_range", 200)])
def test_a_download_goes_on_where_a_kill_stopped_it(fault: str, status: int, tmp_path: Path) -> None:
    with serve(one_person(1, **{fault: 0})) as site:
        killed_at_half(site, tmp_path)
        crawl(site, tmp_path)
    first, second = (exchange for exchange in site.log if exchange.path.startswith("/archive"))
    assert not first.is_complete
    size = len(site.site.people["person_0"][0])
    assert second.headers["range"] == f"bytes={size // 2}-"
    assert re.fullmatch(r'"[0-9a-f]{16}"', second.headers["if-range"])
    assert (second.status, second.sent) == (status, size - size // 2 if status == 206 else size)
    assert stored(tmp_path) == {site.site.people["person_0"][0]}
    assert not any(Dataset(tmp_path / "data").store.inbox.iterdir())


def test_a_photo_that_changed_since_the_kill_is_fetched_anew(tmp_path: Path) -> None:
    with serve(one_person(1, stalls_once=0)) as site:
        killed_at_half(site, tmp_path)
        site.site.people["person_0"][0] = photo(777)
        crawl(site, tmp_path)
    assert [exchange.status for exchange in site.log if exchange.path.startswith("/archive")] == [200, 200]
    assert stored(tmp_path) == {photo(777)}


# Another crawl of the same site.


def test_a_second_crawl_asks_only_whether_lists_have_changed(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(3, 4)))) as site:
        crawl(site, tmp_path)
        before = len(site.log)
        stats = crawl(site, tmp_path)
        second = [exchange for exchange in site.log[before:] if exchange.path.startswith(("/photos", "/archive"))]
    assert {exchange.status for exchange in second} == {304}
    assert all("if-none-match" in exchange.headers for exchange in second)
    assert not any("/pic/" in exchange.path or "/archive" in exchange.path for exchange in second)
    assert (stats["unchanged"], stats["known"], stats["new"]) == (len(second), 7, 0)


def test_new_photos_are_fetched_and_lost_ones_counted(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(3, 4), per_page=50))) as site:
        crawl(site, tmp_path)
        before = len(site.log)
        site.site.people["person_1"] += [photo(900 + number) for number in range(5)]
        stats = crawl(site, tmp_path)
        fetched = [exchange.path for exchange in site.log[before:] if exchange.path.startswith("/archive")]
        assert sorted(fetched) == [f"/archive/person_1/img/{number}.jpg" for number in range(4, 9)]
        assert (stats["new"], stats["known"], stats["gone"]) == (5, 7, 0)
        del site.site.people["person_0"][1:]
        assert crawl(site, tmp_path)["gone"] == 2
    assert len(stored(tmp_path)) == 12, "what is gone from the site stays"
    assert rows(tmp_path, "SELECT count(*) FROM sightings WHERE gone_at IS NOT NULL") == [(2,)]


def test_photos_on_a_page_that_cannot_be_read_do_not_count_as_gone(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(4)))) as site, stamina.set_testing(True):
        crawl(site, tmp_path)
        site.faults["/photos/person_0/?page=2"] = "gzip_cut"
        with pytest.raises(BolidError, match="page=2"):
            crawl(site, tmp_path)
    assert rows(tmp_path, "SELECT count(*) FROM sightings WHERE gone_at IS NOT NULL") == [(0,)]


def test_who_was_forgotten_is_never_asked_for(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2, 2, 2)))) as site:
        dataset = Dataset(tmp_path / "data")
        dataset.prepare()
        dataset.remember(removals_of(dataset.root, "forgotten", people=["person_1"]))
        crawl(site, tmp_path)
        assert not site.sent("/photos/person_1")
        assert not site.sent("/archive/person_1")
    assert rows(tmp_path, "SELECT person FROM people ORDER BY ALL") == [("person_0",), ("person_2",)]


def test_a_photo_that_was_forgotten_does_not_come_back(tmp_path: Path) -> None:
    with serve(one_person(2)) as site:
        (tmp_path / "1.jpg").write_bytes(site.site.people["person_0"][1])
        dataset = Dataset(tmp_path / "data")
        dataset.prepare()
        dataset.remember(removals_of(dataset.root, "forgotten", sha256s=[file_sha256(tmp_path / "1.jpg")]))
        crawl(site, tmp_path)
    assert stored(tmp_path) == {site.site.people["person_0"][0]}
    assert rows(tmp_path, SOME_PHOTO) == [("refused", "forgotten")]
    assert not any(dataset.store.inbox.iterdir())


# Budgets.


def test_a_run_stops_at_max_bytes_and_the_next_goes_on(tmp_path: Path) -> None:
    with serve(one_person(20)) as site:
        first = crawl(site, tmp_path, "max_bytes = 20_000\nconcurrency = 1")
        assert first["stopped"] == "max_bytes"
        assert 0 < first["new"] < 20
        assert crawl(site, tmp_path)["new"] == 20 - first["new"]
    asked = site.sent("/archive")
    assert len(asked) == len(set(asked)) == 20


def test_a_run_stops_at_max_minutes_and_the_next_goes_on(tmp_path: Path) -> None:
    with serve(one_person(20)) as site:
        site.latency = 0.05
        first = crawl(site, tmp_path, "max_minutes = 0.01\nconcurrency = 1")
        assert first["stopped"] == "max_minutes"
        assert first["new"] < 20
        site.latency = 0
        assert crawl(site, tmp_path)["new"] == 20 - first["new"]


# A list of addresses.


def fetch(folder: Path, more: str = "", path: str = "list.csv", local: bool = True, **how: Any) -> dict[str, Any]:
    source = f'kind = "urls"\npath = "{path}"\ndelay = 0.0\ntimeout = 2.0\nallow_local = {str(local).lower()}'
    text = f'name = "list"\n[source]\n{source}\n{more}\n'
    (folder / "m.toml").write_text(text)
    return scrape(manifests.load(folder / "m.toml"), Dataset(folder / "data"), **how)


def listed(site: Hostile) -> list[tuple[str, str]]:
    return [
        (f"Anna {slug}", f"{site.base_url}/archive/{slug}/img/{number}.jpg")
        for slug, photos in site.site.people.items()
        for number in range(len(photos))
    ]


def write_csv(file: Path, pairs: list[tuple[str, str]]) -> None:
    file.write_text("person,url\n" + "".join(f"{person},{url}\n" for person, url in pairs))


def test_a_list_in_csv_is_fetched_and_what_is_settled_not_asked_again(tmp_path: Path) -> None:
    with serve(one_person(4, http_404=1, html_as_jpeg=2)) as site:
        write_csv(tmp_path / "list.csv", listed(site))
        stats = fetch(tmp_path)
        assert (stats["people"], stats["new"], stats["reasons"]) == (1, 2, {"http_404": 1, "broken": 1})
        before = len(site.log)
        assert fetch(tmp_path)["known"] == 3
        assert [exchange.path for exchange in site.log[before:] if "archive" in exchange.path] == [
            "/archive/person_0/img/1.jpg"
        ]
    assert rows(tmp_path, "SELECT person, name, listed_photos FROM people") == [("anna_person_0", "Anna person_0", 4)]
    assert len(stored(tmp_path)) == 2


def test_a_list_in_parquet_is_fetched(tmp_path: Path) -> None:
    with serve(one_person(2)) as site:
        write_csv(tmp_path / "list.csv", listed(site))
        duckdb.sql(f"COPY (FROM '{tmp_path}/list.csv') TO '{tmp_path}/list.parquet'")
        assert fetch(tmp_path, path="list.parquet")["new"] == 2


def test_an_address_listed_for_two_people_is_fetched_once(tmp_path: Path) -> None:
    with serve(one_person(1)) as site:
        url = f"{site.base_url}/archive/person_0/img/0.jpg"
        write_csv(tmp_path / "list.csv", [("Anna", url), ("Berta", url), ("Anna", url)])
        fetch(tmp_path)
        write_csv(tmp_path / "list.csv", [("Anna", url), ("Berta", url), ("Clara", url)])
        fetch(tmp_path)
        assert len(site.sent("/archive")) == 1
    sightings = rows(tmp_path, "SELECT person, state FROM sightings ORDER BY ALL")
    assert sightings == [("anna", "stored"), ("berta", "stored"), ("clara", "stored")]


@pytest.mark.parametrize(
    "url", ["ftp://a.example/1.jpg", "no address", "http://", "http://[::1", "http://a:99999/", "http://" + "a" * 9000]
)
def test_a_bad_address_in_a_list_is_recorded(url: str, tmp_path: Path) -> None:
    with serve(one_person(1)) as site:
        write_csv(tmp_path / "list.csv", [("Anna", url), *listed(site)])
        assert fetch(tmp_path)["new"] == 1
    assert rows(tmp_path, "SELECT url, state, reason FROM sightings WHERE person = 'anna'") == [
        (url, "refused", "bad_address")
    ]


def test_a_list_without_its_columns_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("name,address\nAnna,http://127.0.0.1/1.jpg\n")
    with pytest.raises(UsageError, match=r"list\.csv: .*columns person, url"):
        fetch(tmp_path)
    with pytest.raises(UsageError, match=r"none\.csv: no such file"):
        fetch(tmp_path, path="none.csv")


def test_people_of_a_list_are_chosen_in_its_order(tmp_path: Path) -> None:
    with serve(Hostile(Site(people(1, 1, 1, 1)))) as site:
        write_csv(tmp_path / "list.csv", listed(site))
        fetch(tmp_path, "max_people = 2")
        assert rows(tmp_path, "SELECT person FROM people ORDER BY ALL") == [("anna_person_0",), ("anna_person_1",)]
        assert sorted(site.sent("/archive")) == ["/archive/person_0/img/0.jpg", "/archive/person_1/img/0.jpg"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
@pytest.mark.usefixtures("few_tries")
def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subject = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(one_person(1), context) as site:
        write_csv(tmp_path / "list.csv", [("Anna", f"https://127.0.0.1:{site.port}/archive/person_0/img/0.jpg")])
        fetch(tmp_path)
        assert site.log == []
    assert rows(tmp_path, "SELECT state, reason FROM sightings") == [("failed", "tls")]


def test_a_list_from_the_web_at_large_cannot_point_inside(tmp_path: Path) -> None:
    """Loopback is meant by whoever wrote the list; a redirect from there into the network is not."""
    with serve(one_person(2, redirect_link_local=0, redirect_to_canary=1)) as site:
        write_csv(tmp_path / "list.csv", listed(site))
        assert fetch(tmp_path)["reasons"] == {"private_address": 2}
        assert site.canary == []

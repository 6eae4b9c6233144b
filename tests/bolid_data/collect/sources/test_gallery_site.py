import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bolid_data import manifest as manifests
from bolid_data.collect.contact import problem_with
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from tests.support.gallery_site import Site, page, photo, serve

MANIFEST = """
name = "crawl"
[source]
kind = "theplace"
base_url = "{base_url}"
min_photos = 2
delay = 0.0
{more}
"""


def crawl(site: Site, folder: Path, more: str = "") -> dict[str, Any]:
    path = folder / "m.toml"
    path.write_text(MANIFEST.format(base_url=site.base_url, more=more))
    return scrape(manifests.load(path), Dataset(folder / "data"))


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Dataset(folder / "data").catalog.open(read_only=True) as con:
        return con.execute(sql).fetchall()


def people(*counts: int) -> dict[str, list[bytes]]:
    return {f"person_{i}": [photo(100 * i + j) for j in range(count)] for i, count in enumerate(counts)}


async def broken_connection(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.close()
    return web.Response()


def test_photos_and_where_they_were_seen(tmp_path: Path) -> None:
    with serve(Site(people(5, 1, 3))) as site:
        stats = crawl(site, tmp_path)
    assert (stats["people"], stats["skipped_people"], stats["new"]) == (2, 1, 8)
    assert rows(tmp_path, "SELECT person, listed_photos, state FROM people ORDER BY ALL") == [
        ("person_0", 5, "listed"),
        ("person_1", 1, "skipped"),
        ("person_2", 3, "listed"),
    ]
    urls = [url for (url,) in rows(tmp_path, "SELECT url FROM sightings ORDER BY url")]
    assert urls[0] == "https://www.theplace.ru/archive/person_0/img/0.jpg", "addresses are the site's own"
    stored = {path.read_bytes() for path in Dataset(tmp_path / "data").store.files()}
    assert stored == {*site.people["person_0"], *site.people["person_2"]}
    assert not any(Dataset(tmp_path / "data").store.inbox.iterdir())


def test_a_second_crawl_fetches_only_what_is_new(tmp_path: Path) -> None:
    with serve(Site(people(3, 2))) as site:
        crawl(site, tmp_path)
        before = len(site.sent("/archive"))
        assert crawl(site, tmp_path)["known"] == 5
        assert len(site.sent("/archive")) == before
        site.people["person_1"].append(photo(999))
        assert crawl(site, tmp_path)["new"] == 1
        assert site.sent("/archive")[before:] == ["/archive/person_1/img/2.jpg"]


def test_budgets_keep_the_sites_order(tmp_path: Path) -> None:
    with serve(Site(people(1, 5, 5, 5))) as site:
        crawl(site, tmp_path, "max_people = 2\nmax_photos = 3")
    stored = rows(tmp_path, "SELECT person, count(*) FROM sightings GROUP BY person ORDER BY person")
    assert stored == [("person_1", 3), ("person_2", 3)]


def test_only_the_people_asked_for(tmp_path: Path) -> None:
    with serve(Site(people(2, 2, 2))) as site:
        crawl(site, tmp_path, 'people = ["person_1"]')
        assert not site.sent("/photos/person_0")
    assert rows(tmp_path, "SELECT DISTINCT person FROM sightings") == [("person_1",)]


def test_robots_and_opt_outs_are_obeyed(tmp_path: Path) -> None:
    async def no_ai(request: web.Request) -> web.StreamResponse:
        return web.Response(body=photo(7), headers={"X-Robots-Tag": "noai"})

    with serve(Site(people(3), robots="User-agent: bolid\nDisallow: /archive/person_0/img/1.jpg\n")) as site:
        site.faults["/archive/person_0/img/2.jpg"] = no_ai
        stats = crawl(site, tmp_path)
        assert not site.sent("/archive/person_0/img/1.jpg")
    assert stats["reasons"] == {"robots": 1, "opted_out": 1}
    assert len(list(Dataset(tmp_path / "data").store.files())) == 1


def test_the_agent_says_who_to_ask(tmp_path: Path) -> None:
    with serve(Site(people(2))) as site:
        crawl(site, tmp_path, 'contact = "mailto:me@example.org"')
        assert site.agents == {"bolid/0.1 (+mailto:me@example.org)"}


@pytest.mark.parametrize(
    ("contact", "message"),
    [
        ("", r"source\.contact is missing; the owner of https://www\.theplace\.ru must know"),
        ('contact = "mailto:you@example.org"', r"source\.contact is still the example's, mailto:you@example\.org"),
        ('contact = "me"', r"source\.contact = 'me' is neither a mail address nor a URL"),
        ('contact = "mailto:me"', "neither a mail address nor a URL"),
    ],
)
def test_a_host_that_is_not_this_machine_needs_a_contact(contact: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(f'name = "x"\n[source]\nkind = "theplace"\n{contact}\n')
    with pytest.raises(UsageError, match=message):
        scrape(manifests.load(path), Dataset(tmp_path / "data"))


@pytest.mark.parametrize("contact", ["mailto:a@b.org", "a.b+c@d.example.co.uk", "https://lab.example/people?q=1"])
def test_a_mail_address_or_a_url_is_a_contact(contact: str) -> None:
    assert problem_with(contact) is None


def test_what_is_no_photo_is_recorded_and_not_stored(tmp_path: Path) -> None:
    with serve(Site({"person_0": [photo(1), b"<html>login please</html>", photo(2)]})) as site:
        stats = crawl(site, tmp_path)
        assert stats["reasons"] == {"broken": 1}
        crawl(site, tmp_path)
        assert len(site.sent("/archive/person_0/img/1.jpg")) == 1, "what is no photo is not asked for again"
    assert rows(tmp_path, "SELECT state, reason FROM sightings WHERE sha256 IS NULL") == [("refused", "broken")]


def test_what_passes_is_tried_again_at_once_and_by_the_next_run(tmp_path: Path) -> None:
    answers = iter([503, 429])

    async def busy(request: web.Request) -> web.StreamResponse:
        status = next(answers, 200)
        headers = {"Retry-After": "1"}
        return web.Response(status=status, headers=headers) if status != 200 else web.Response(body=photo(5))

    async def gone(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404)

    with serve(Site(people(3))) as site:
        site.faults = {"/archive/person_0/img/0.jpg": busy, "/archive/person_0/img/1.jpg": gone}
        started = time.monotonic()
        stats = crawl(site, tmp_path)
        assert time.monotonic() - started >= 2, "Retry-After is waited for"
        assert (stats["new"], stats["reasons"]) == (2, {"http_404": 1})
        site.faults = {}
        assert crawl(site, tmp_path)["new"] == 1


def test_drift_stops_its_branch_and_the_rest_is_kept(tmp_path: Path) -> None:
    async def redesigned(request: web.Request) -> web.StreamResponse:
        return page("<p>new design</p>")

    with serve(Site(people(2, 2, 2))) as site:
        site.faults["/photos/person_1/"] = redesigned
        with pytest.raises(BolidError, match=r"person_1/: no photo cards found.*selectors tried"):
            crawl(site, tmp_path)
    assert rows(tmp_path, "SELECT person, count(*) FROM sightings GROUP BY ALL ORDER BY ALL") == [
        ("person_0", 2),
        ("person_2", 2),
    ]


def test_a_redirect_to_a_private_address_is_refused(tmp_path: Path) -> None:
    with serve(Site({})) as canary, serve(Site(people(2))) as site:

        async def inside(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{canary.base_url}/secret")

        async def loop(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound("/archive/person_0/img/1.jpg")

        site.faults = {"/archive/person_0/img/0.jpg": inside, "/archive/person_0/img/1.jpg": loop}
        stats = crawl(site, tmp_path)
        assert canary.requests == []
    assert stats["reasons"] == {"private_address": 1, "too_many_redirects": 1}


def test_an_unreachable_site_is_one_clear_error(tmp_path: Path) -> None:
    site = Site({}, base_url="http://127.0.0.1:9")
    with pytest.raises(BolidError, match=r"http://127\.0\.0\.1:9/photos/: "):
        crawl(site, tmp_path)


def test_a_killed_crawl_continues_and_asks_for_nothing_twice(tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        time.sleep(0.02)
        slug, name = request.path.split("/")[2], request.path.split("/")[4]
        return web.Response(body=site.people[slug][int(name.removesuffix(".jpg"))])

    with serve(Site(people(20, 20))) as site:
        site.faults = {f"/archive/{slug}/img/{i}.jpg": slow for slug in site.people for i in range(20)}
        (tmp_path / "m.toml").write_text(MANIFEST.format(base_url=site.base_url, more="concurrency = 1"))
        command = [sys.executable, "-m", "bolid", "scrape", str(tmp_path / "m.toml"), "--data", str(tmp_path / "data")]
        process = subprocess.Popen(command)
        while len(site.sent("/archive")) < 15:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert subprocess.run(command).returncode == 0
        files = site.sent("/archive")
    # The one being fetched at the moment of the kill is the only one that may be asked for again.
    assert len(files) - len(set(files)) <= 1
    assert {path.read_bytes() for path in Dataset(tmp_path / "data").store.files()} == {
        data for photos in site.people.values() for data in photos
    }

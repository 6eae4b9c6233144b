"""How often a host is asked: by the throttle alone, and as a server sees it."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from bolid_data.collect.http.throttle import Throttle
from bolid_data.errors import BolidError
from tests.bolid_data.collect.sources.test_gallery_site import people, rows
from tests.bolid_data.collect.test_hostile import crawl, one_person, stored
from tests.support.fault_site import RULES, Exchange, Hostile, serve
from tests.support.gallery_site import Site

LATE = 0.05
"""Seconds by which a request may reach the server, or be seen by it, after it began."""


async def turns(throttle: Throttle, count: int) -> list[float]:
    """When so many requests that all want to begin now may begin, in seconds from now."""
    started = time.monotonic()

    async def turn() -> float:
        await throttle.wait()
        return time.monotonic() - started

    return sorted(await asyncio.gather(*(turn() for _ in range(count))))


def test_requests_begin_one_delay_apart_however_many_want_to() -> None:
    times = asyncio.run(turns(Throttle(0.05), 5))
    assert times[0] < 0.04
    assert all(later - earlier > 0.04 for earlier, later in pairwise(times))


def test_a_pause_holds_for_those_who_wait_already() -> None:
    async def run() -> list[float]:
        throttle = Throttle(0.05)
        waiting = asyncio.create_task(turns(throttle, 3))
        await asyncio.sleep(0.02)
        throttle.back_off(0.5)
        return await waiting

    first, *others = asyncio.run(run())
    assert first < 0.04
    assert min(others) >= 0.5


def test_a_refusal_doubles_the_delay_once_for_all_that_was_under_way() -> None:
    throttle = Throttle(1.0)
    for _ in range(5):
        throttle.back_off(10)
    assert throttle.delay == 2.0


def test_the_delay_never_falls_below_what_was_asked_for() -> None:
    throttle = Throttle(300.0)
    throttle.back_off(None)
    assert throttle.delay >= 300.0


def test_a_host_that_does_not_say_for_how_long_gets_a_pause_that_doubles() -> None:
    async def run() -> list[float]:
        throttle, starts = Throttle(0.0), []
        for _ in range(2):
            throttle.back_off(None)
            throttle.delay = 0.0
            starts.append((await turns(throttle, 1))[0])
        return starts

    assert asyncio.run(run()) == [pytest.approx(1, abs=0.1), pytest.approx(2, abs=0.1)]


def test_good_answers_bring_the_delay_back_to_its_floor_and_no_further() -> None:
    throttle = Throttle(0.1)
    throttle.back_off(0)
    assert throttle.delay > 0.1
    for _ in range(100):
        throttle.record_response(0.01)
    assert throttle.delay == 0.1


def test_a_host_that_labours_is_asked_less_often_until_it_recovers() -> None:
    throttle = Throttle(0.0)
    for _ in range(20):
        throttle.record_response(0.02)
    assert throttle.delay == 0.0
    for _ in range(20):
        throttle.record_response(2.0)
    assert throttle.delay == pytest.approx(2.0, rel=0.1), "as AutoThrottle: one request per response time"
    for _ in range(200):
        throttle.record_response(0.02)
    assert throttle.delay == 0.0


def test_a_host_that_was_always_slow_is_not_slowed_down_for() -> None:
    throttle = Throttle(0.0)
    for _ in range(50):
        throttle.record_response(0.8)
    assert throttle.delay == 0.0


# As a server sees it.


def asked(site: Hostile) -> list[Exchange]:
    return [exchange for exchange in site.log if exchange.path not in RULES]


def mean_gap(exchanges: list[Exchange]) -> float:
    return (exchanges[-1].time - exchanges[0].time) / (len(exchanges) - 1)


@pytest.mark.parametrize(("robots", "delay"), [("User-agent: *\nCrawl-delay: 0.2\n", 0.0), ("", 0.2)])
def test_a_delay_asked_for_lies_between_any_two_requests(robots: str, delay: float, tmp_path: Path) -> None:
    with serve(Hostile(Site(people(2), robots=robots))) as site:
        crawl(site, tmp_path, delay=delay)
    gaps = [later.time - earlier.time for earlier, later in pairwise(asked(site))]
    assert len(gaps) >= 6
    assert min(gaps) > 0.2 - LATE


def test_a_storm_of_429_is_waited_out_then_the_pace_recovers(tmp_path: Path) -> None:
    begun: list[float] = []

    async def storm(site: Hostile, exchange: Exchange, body: bytes) -> None:
        begun[:] = begun or ([time.monotonic()] if len(site.sent("/archive")) >= 20 else [])
        if begun and time.monotonic() < begun[0] + 1.3:
            await exchange.answer(429, headers={"Retry-After": "1"})
        else:
            await site.honest(exchange, await site.body(exchange.path))

    with serve(one_person(100)) as site:
        site.everywhere = storm
        assert crawl(site, tmp_path)["new"] == 100
    refused = [exchange for exchange in site.log if exchange.status == 429]
    inside = [
        later
        for exchange in refused
        for later in asked(site)
        if exchange.ended + LATE < later.time < exchange.ended + 1 - LATE
    ]
    assert refused
    assert inside == []
    afterwards = [exchange for exchange in asked(site) if exchange.time > refused[-1].time]
    assert mean_gap(afterwards[:5]) > 0.15
    assert mean_gap(afterwards[-20:]) < 0.05
    assert stored(tmp_path) == {*site.site.people["person_0"]}


def test_what_fails_is_tried_again_ever_later(tmp_path: Path) -> None:
    with serve(one_person(2, http_500=1)) as site:
        crawl(site, tmp_path)
    tries = [exchange.time for exchange in site.log if exchange.path.endswith("/1.jpg")]
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert 2 <= len(gaps) <= 4
    assert gaps[0] > 0.4
    assert gaps[-1] > 1.5


def test_a_server_that_gets_slow_is_asked_less_often_until_it_recovers(tmp_path: Path) -> None:
    slow: list[float] = []

    async def labour(site: Hostile, exchange: Exchange, body: bytes) -> None:
        slow[:] = slow or ([time.monotonic()] if len(site.sent("/archive")) >= 20 else [])
        if slow and time.monotonic() < slow[0] + 3:
            await asyncio.sleep(0.6)
        await site.honest(exchange, await site.body(exchange.path))

    with serve(one_person(100)) as site:
        site.everywhere = labour
        assert crawl(site, tmp_path, "concurrency = 8")["new"] == 100
    late = [exchange for exchange in asked(site) if slow[0] + 1.5 < exchange.time < slow[0] + 3]
    assert len(late) < 10, "eight at once would be 20 in this time"
    assert mean_gap(asked(site)[-20:]) < 0.1


@pytest.mark.parametrize(
    "where", ["/photos/", "/photos/person_0/", "/photos/person_0/pic/1", "/archive/person_0/img/1.jpg"]
)
def test_a_host_that_asks_for_an_hour_is_left_alone_by_the_next_run_too(where: str, tmp_path: Path) -> None:
    with serve(one_person(30)) as site:
        site.faults[where] = "busy_for_an_hour"
        with pytest.raises(BolidError, match=r"asked to wait|requested back-off"):
            crawl(site, tmp_path, "concurrency = 1")
        before = len(site.log)
        assert [exchange.path for exchange in site.log][-1] == where
        with pytest.raises(BolidError, match=r"asked to wait|requested back-off"):
            crawl(site, tmp_path)
        assert len(site.log) == before, "not even for its rules"
    assert rows(tmp_path, "SELECT host FROM hosts") == [("https://www.theplace.ru",)]

"""Decisions by hand: what they mean for verdicts, and that they and their log outlive kills and older catalogs."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from bolid_data.curate import decide
from bolid_data.curate.judge import judge
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter
from bolid_data.records import Sighting
from bolid_data.report import show
from tests.support.measured_dataset import LENIENT, MODELS, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "data")


def verdicts(world: World) -> dict[tuple[str, str], list[str]]:
    with world.dataset.catalog.open(read_only=True) as con:
        rows = con.execute("SELECT person, sha256, reasons FROM verdicts").fetchall()
    return {(person, sha256): reasons for person, sha256, reasons in rows}


def log(world: World) -> list[tuple[str, str, bool]]:
    return [(entry["what"], entry["person"], entry["undone"]) for entry in world.dataset.catalog.decisions.log()]


def test_a_decision_holds_at_once_for_the_photo_and_for_those_that_depend_on_it(world: World) -> None:
    marked, better, copy = world.photo(watermark=0.9), world.photo(phash=1, width=1300), world.photo(phash=1)
    world.judge(Filter(min_photos_per_person=2))
    assert verdicts(world)["anna", copy] == ["duplicate"]
    (state,) = decide.keep(world.dataset, [marked[:8]], "a tattoo")
    assert (state["file"], state["kept"], state["reasons"]) == ("https://a.example/anna/1.jpg", True, [])
    assert verdicts(world) == {("anna", marked): [], ("anna", better): [], ("anna", copy): ["duplicate"]}
    decide.reject(world.dataset, [better])
    assert verdicts(world)["anna", copy] == [], "the copy takes the place of the better photo"
    decide.undo(world.dataset, [marked, better])
    assert verdicts(world) == {
        ("anna", marked): ["watermarked"], ("anna", better): ["few_photos"], ("anna", copy): ["duplicate"],
    }  # fmt: skip
    assert log(world) == [
        ("keep", "anna", True), ("reject", "anna", True), ("undo", "anna", False), ("undo", "anna", False),
    ]  # fmt: skip


def test_the_thresholds_of_the_last_judgement_stay(world: World) -> None:
    dim, other = world.photo(brightness=0.2), world.photo()
    world.judge(Filter(min_photos_per_person=1, min_brightness=0.3))
    decide.reject(world.dataset, [other])
    assert verdicts(world) == {("anna", dim): ["dark"], ("anna", other): ["rejected"]}


def test_before_the_first_judgement_decisions_wait_for_it(world: World) -> None:
    sha256 = world.photo(width=10)
    (state,) = decide.keep(world.dataset, [sha256])
    assert (state["kept"], state["reasons"]) == (None, [])
    world.judge()
    assert verdicts(world) == {("anna", sha256): []}


def test_nothing_overrides_an_opt_out(world: World) -> None:
    out, later = world.photo(), world.photo()
    world.photo("berta")
    world.judge()
    catalog = world.dataset.catalog
    decide.keep(world.dataset, [later])
    decide.assign(world.dataset, [out], "berta")
    for number in (1, 2):
        (sighting,) = catalog.sightings.at_addresses([f"https://a.example/anna/{number}.jpg"])
        catalog.sightings.update([replace(sighting, state="opted_out")])
    assert verdicts(world)["anna", later] == verdicts(world)["berta", out] == ["opted_out"]
    for sha256 in (out, later):
        with pytest.raises(UsageError, match="opted out, which no decision overrides"):
            decide.keep(world.dataset, [sha256])
    withdrawn = {(row.person, row.sha256) for row in catalog.consent.withdrawn() if row.reason == "opted_out"}
    assert {("anna", out), ("berta", out)} <= withdrawn, "also in shards of before the assignment"


def test_an_assigned_photo_counts_for_its_person_alone(world: World) -> None:
    photo, copy, own = world.photo(phash=1), world.photo("berta", phash=1, width=1300), world.photo("berta", phash=0)
    shared = Sighting("https://a.example/cleo/1.jpg", "cleo", "https://a.example/c", "stored", own)
    world.dataset.catalog.sightings.record(sightings=[shared])
    world.judge(LENIENT)
    assert verdicts(world) == {
        ("anna", photo): [],
        ("berta", copy): ["two_names"],
        ("berta", own): ["two_names"],
        ("cleo", own): ["two_names"],
    }
    decide.assign(world.dataset, [photo, own], "BERTA")
    assert verdicts(world) == {("berta", copy): [], ("berta", photo): ["duplicate"], ("berta", own): ["duplicate"]}
    assert {row["person"]: row["stored"] for row in world.dataset.catalog.summary()} == {"anna": 0, "berta": 3}


def test_a_rejection_is_of_the_photo_as_one_of_its_person(world: World) -> None:
    photo = world.photo()
    world.photo("berta")
    world.judge()
    decide.reject(world.dataset, [photo], "not anna")
    decide.assign(world.dataset, [photo], "berta")
    assert verdicts(world)["berta", photo] == []
    decide.undo(world.dataset)
    assert verdicts(world)["anna", photo] == ["rejected"]


def test_a_kill_after_the_decision_was_recorded_loses_nothing(world: World) -> None:
    photo, rejected = world.photo(), world.photo()
    world.photo("berta")
    world.judge()
    decisions = world.dataset.catalog.decisions  # what the commands do first; the judgement follows
    decisions.decide("assign", [("berta", photo)], "me")
    decisions.decide("reject", [("anna", rejected)], "me")
    assert ("anna", photo) not in verdicts(world) and verdicts(world)["anna", rejected] == ["rejected"]
    assert show.steps_left(show.status(world.dataset))[0] == ("filter", 1)
    judge(world.dataset.catalog, LENIENT)
    assert verdicts(world)["berta", photo] == []


def test_the_log_goes_on_after_a_person_is_forgotten(world: World) -> None:
    photos = [world.photo(), world.photo("berta")]
    world.judge()
    decisions = world.dataset.catalog.decisions
    decide.reject(world.dataset, [photos[0]])
    decide.reject(world.dataset, [photos[1]])
    decisions.record_lock("a" * 64)
    world.dataset.catalog.erasure.forget("berta", [photos[1]])
    decide.undo(world.dataset)
    assert [entry["id"] for entry in decisions.log()] == [1, 3], "no number is given twice"
    assert decisions.changed_since("a" * 64) == 1


def test_what_a_lock_lacks_is_what_changed_not_what_was_done(world: World) -> None:
    photo, other = world.photo(), world.photo()
    world.judge()
    decisions = world.dataset.catalog.decisions
    decide.reject(world.dataset, [photo])
    decisions.record_lock("a" * 64)
    decide.keep(world.dataset, [other])
    decide.undo(world.dataset, [photo])
    assert decisions.changed_since("a" * 64) == 2
    decide.undo(world.dataset, [other])
    decide.reject(world.dataset, [photo], "after all")
    assert decisions.changed_since("a" * 64) == 0
    assert decisions.changed_since("a lock of another folder") == 1


def test_a_catalog_of_version_2_keeps_its_decisions(world: World) -> None:
    photo, other = world.photo(watermark=0.9), world.photo()
    world.judge()
    with world.dataset.catalog.open() as con:
        for view in ("attributions", "assignments", "decisions"):
            con.execute(f"DROP VIEW {view}")
        for table in ("decision_log", "locks", "replaced"):
            con.execute(f"DROP TABLE {table}")
        con.execute(
            """CREATE TABLE decisions (person VARCHAR, sha256 VARCHAR, keep BOOLEAN, who VARCHAR, why VARCHAR,
               decided_at TIMESTAMP, PRIMARY KEY (person, sha256))"""
        )
        at = datetime(2026, 1, 2)
        con.execute("INSERT INTO decisions VALUES ('anna', ?, true, 'eva', 'a tattoo', ?)", [photo, at])
        con.execute("INSERT INTO decisions VALUES ('anna', ?, false, 'eva', NULL, ?)", [other, at.replace(day=1)])
        con.execute("UPDATE about SET value = '2' WHERE key = 'schema_version'")
    as_it_is = world.dataset.catalog.decisions.log()
    world.dataset.catalog.create()
    world.dataset.catalog.create()
    assert world.dataset.catalog.decisions.log() == as_it_is
    assert [(entry["id"], entry["what"], entry["who"], entry["why"]) for entry in as_it_is] == [
        (1, "reject", "eva", None), (2, "keep", "eva", "a tattoo"),
    ]  # fmt: skip
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert verdicts(world) == {("anna", photo): [], ("anna", other): ["rejected"]}


def test_verdicts_after_decisions_are_those_of_judging_everybody_again(world: World) -> None:
    """Also those that an earlier decision left to be judged, because its command was killed before it judged."""
    photos = [world.photo(person, phash=n % 3, width=1200 + n, watermark=0.2 * (n % 5)) for person in ("anna", "berta")
              for n in range(5)]  # fmt: skip
    thresholds = Filter(min_photos_per_person=2)
    world.judge(thresholds)
    steps = [
        lambda: decide.reject(world.dataset, [photos[1]]),
        lambda: decide.keep(world.dataset, [photos[4], photos[9]]),
        lambda: world.dataset.catalog.decisions.decide("reject", [("berta", photos[6])], "me"),  # and killed
        lambda: decide.keep(world.dataset, [photos[0]]),
        lambda: decide.assign(world.dataset, [photos[2]], "berta"),
        lambda: decide.reject(world.dataset, [photos[2]]),
        lambda: decide.undo(world.dataset),
        lambda: decide.undo(world.dataset),
    ]
    for number, step in enumerate(steps):
        step()
        if number != 2:
            decided = verdicts(world)
            judge(world.dataset.catalog, thresholds, MODELS)
            assert verdicts(world) == decided

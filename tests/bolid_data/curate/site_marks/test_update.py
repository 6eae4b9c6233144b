"""From the photos of a host to its marks in the catalog, to scores and verdicts, and through a lock."""

import io
import itertools
from pathlib import Path

import pytest
from PIL import Image

from bolid_data.curate.engines import local
from bolid_data.curate.judge import explain
from bolid_data.curate.site_marks import update as site_marks
from bolid_data.lockfile import LockedSite
from bolid_data.manifest import Filter
from tests.support.marked_hosts import SIZE, host, in_corner, text
from tests.support.measured_dataset import World

LENIENT = Filter(min_width=1, min_height=1, min_photos_per_person=1, max_hamming=0)
MARKED = in_corner(text(), 0.4)
PEOPLE = ("anna", "berta", "clara", "dora")


def add(world: World, images: list[Image.Image], **measured: float) -> list[str]:
    """Adds photos of the host a.example, of four people in turn."""
    photos = []
    for image, person in zip(images, itertools.cycle(PEOPLE), strict=False):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=90)
        photos.append(world.photo(person, *SIZE, data=out.getvalue(), **measured))  # type: ignore[arg-type]
    return photos


def measure(world: World) -> int:
    """Looks for marks and measures photos by them, as `bolid filter` does. Returns the number of photos measured."""
    site_marks.update(world.dataset, "white")
    targets = world.dataset.catalog.site_marks.targets()
    job = local.plan(world.dataset.catalog, [], site_marks.measurers(world.dataset), (0, 0), None, "white", targets)
    return local.measure(world.dataset.catalog, world.dataset.store, job).photos


def marks(world: World) -> list[str]:
    return [mark.model.id for mark in world.dataset.catalog.site_marks.marks()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_host_with_a_mark_is_judged_by_the_mark_alone(world: World) -> None:
    marked = add(world, host(14, MARKED), watermark=0.1)
    clean = add(world, host(6, seed=40), watermark=0.99)
    assert measure(world) == 20
    world.judge(LENIENT)
    verdicts = world.verdicts()
    assert all(verdicts[sha256] == ["watermarked"] for sha256 in marked)
    assert all(verdicts[sha256] == [] for sha256 in clean)
    rules = {rule["fact"]: rule for rule in explain(world.dataset.catalog, marked[0])["rules"]}
    assert rules["site_mark"]["out"] and rules["site_mark"]["value"] > 0.3
    assert rules["watermark"]["value"] is None
    (shown,) = explain(world.dataset.catalog, marked[0])["site_marks"]
    assert (shown["host"], shown["model"]) == ("a.example", marks(world)[0])


def test_where_photos_share_no_mark_the_learned_model_needs_more(world: World) -> None:
    unsure, sure = add(world, host(8), watermark=0.6), add(world, host(8, seed=50), watermark=0.8)
    assert measure(world) == 0
    world.judge(LENIENT)
    assert all(world.verdicts()[sha256] == [] for sha256 in unsure)
    assert all(world.verdicts()[sha256] == ["watermarked"] for sha256 in sure)


def test_of_a_host_with_few_photos_nothing_is_known(world: World) -> None:
    photos = add(world, host(5, MARKED), watermark=0.6)
    assert measure(world) == 0
    world.judge(LENIENT)
    assert all(world.verdicts()[sha256] == ["watermarked"] for sha256 in photos)


def test_marks_do_not_depend_on_the_order_of_the_crawl(tmp_path: Path) -> None:
    worlds = [World(tmp_path / name) for name in ("a", "b")]
    images = list(zip(host(12, MARKED), itertools.cycle(PEOPLE), strict=False))
    for world, ordered in zip(worlds, (images, images[::-1]), strict=True):
        for image, person in ordered:
            out = io.BytesIO()
            image.save(out, "JPEG", quality=90)
            world.photo(person, *SIZE, data=out.getvalue())
        measure(world)
    assert marks(worlds[0]) == marks(worlds[1]) != []


def test_marks_are_looked_for_again_only_when_photos_have_come(world: World) -> None:
    add(world, host(12, MARKED))
    measure(world)
    before = marks(world)
    assert measure(world) == 0
    add(world, host(4, MARKED, seed=70))
    assert measure(world) == 16
    assert marks(world) != before


def test_a_mark_is_kept_with_its_picture(world: World) -> None:
    add(world, host(12, MARKED))
    measure(world)
    (mark,) = world.dataset.catalog.site_marks.marks()
    with Image.open(io.BytesIO(mark.picture)) as picture:
        assert picture.format == "PNG" and picture.width > picture.height
    assert mark.host == "a.example"


def test_marks_are_pinned_in_the_lock_and_estimated_again_after_a_rebuild(world: World, tmp_path: Path) -> None:
    add(world, host(12, MARKED))
    measure(world)
    world.judge(LENIENT)
    content, file = world.dataset.catalog.lock_content.read(), tmp_path / "measurements.parquet"
    assert marks(world)[0] in [model["id"] for model in content["models"]]
    assert [LockedSite.model_validate(site).marks for site in content["sites"]] == [marks(world)]
    world.dataset.catalog.lock_content.export_measurements(file)
    verdicts, before = world.verdicts(), marks(world)
    with world.dataset.catalog.open() as con:
        scores = con.execute("FROM site_scores ORDER BY ALL").fetchall()
        con.execute("DELETE FROM site_scores")
    locked = content | {"thresholds": LENIENT.model_dump_json()}
    world.dataset.catalog.lock_content.import_content(locked, [], file)
    with world.dataset.catalog.open() as con:
        assert con.execute("FROM site_scores ORDER BY ALL").fetchall() == scores
    assert world.dataset.catalog.lock_content.read()["sites"] == content["sites"]
    world.judge(LENIENT)
    assert world.verdicts() == verdicts
    assert measure(world) == 0 and marks(world) == before


def test_marks_are_estimated_again_without_a_forgotten_person(world: World) -> None:
    photos = add(world, host(16, MARKED))
    measure(world)
    before = marks(world)
    annas = photos[:: len(PEOPLE)]
    world.dataset.catalog.erasure.forget("anna", annas)
    for sha256 in annas:
        world.dataset.store.find(sha256).unlink()
    assert measure(world) == 12
    assert marks(world) != before

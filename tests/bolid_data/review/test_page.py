"""The page in a real Chromium, by keyboard: it skips where there is none."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bolid_data.records import ListedPerson, Sighting, StoredPhoto
from tests.bolid_data.review.conftest import Served, opened
from tests.support.measured_dataset import World, jpeg


def wait(page: Any, condition: str) -> None:
    """Playwright's own `wait_for_function` needs `eval`, which the page's policy forbids."""
    until = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < until, f"still not so: {condition}"
        page.wait_for_timeout(30)


def changed(page: Any, act: Callable[[], object]) -> None:
    """Acts, and waits until the server has made the change and the page shows it."""
    before = int(page.evaluate("document.body.dataset.changes ?? 0"))
    act()
    wait(page, f"Number(document.body.dataset.changes ?? 0) > {before}")


def labels(page: Any) -> list[str]:
    return [tile.get_attribute("aria-label") for tile in page.query_selector_all(".tile[aria-label]")]


def test_loads_with_pictures_and_counts(page: Any) -> None:
    assert page.inner_text("#counts") == "5 kept · 1 out"
    assert "token" not in page.url
    wait(page, "[...document.querySelectorAll('.tile img')].filter(i => i.naturalWidth).length === 6")
    assert [label.split(": ")[1] for label in labels(page)].count("kept") == 5


def test_keep_reject_undo_and_redo_by_keyboard(page: Any, world: World) -> None:
    first = sorted(
        world.verdicts(), key=lambda sha256: page.get_attribute("#photo-0 img", "src") != f"thumbnail/{sha256}"
    )[0]
    changed(page, lambda: page.keyboard.press("x"))
    assert world.verdicts()[first] == ["rejected"]
    assert page.get_attribute(".scroller", "aria-activedescendant") == "photo-1", "the next photo is at hand"
    assert "out: rejected" in labels(page)[0]
    changed(page, lambda: page.keyboard.press("u"))
    assert world.verdicts()[first] == []
    changed(page, lambda: page.keyboard.press("Shift+U"))
    assert world.verdicts()[first] == ["rejected"]
    changed(page, lambda: page.keyboard.press("Control+z"))
    assert world.verdicts()[first] == []
    page.keyboard.press("End")
    page.keyboard.press("n")
    wait(page, "document.querySelector('.scroller').getAttribute('aria-activedescendant') === 'photo-0'")


def test_many_are_selected_and_rejected_as_one_decision(page: Any, world: World) -> None:
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert "3 photos selected" in page.inner_text(".actions")
    changed(page, lambda: page.keyboard.press("p"))
    entries = world.dataset.catalog.decisions.log()
    assert [(entry["what"], entry["why"]) for entry in entries] == [("reject", "not this person")] * 3
    assert len({entry["command"] for entry in entries}) == 1


def test_why_large_boxes_and_focus_stay_within_reach(page: Any) -> None:
    page.keyboard.press("w")
    page.wait_for_selector(".rule")
    assert "too small" in page.inner_text(".panel")
    page.keyboard.press("b")
    page.wait_for_selector(".frame svg rect")
    assert page.locator(".frame svg .person circle").count() == 17
    page.keyboard.press("Enter")
    page.wait_for_selector(".inspector.large")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.is_hidden(".inspector")
    page.keyboard.press("?")
    assert "not this person" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    reached = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
        )
    assert {"Photos", "Person", "Any reason" if "Any reason" in reached else "Reason", "Search captions"} <= reached


def test_a_caption_is_edited_where_it_stands(page: Any, world: World) -> None:
    page.keyboard.press("3")
    page.wait_for_selector("#caption-0 textarea")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type("a green hat")
    changed(page, lambda: page.keyboard.press("Enter"))
    assert "a green hat" in world.dataset.catalog.caption_words.containing("green").values()
    page.fill("[aria-label=Find]", "red")
    page.fill("[aria-label='Replace with']", "blue")
    page.wait_for_selector("text=Replace in 4 captions")
    page.click("text=Replace in 4 captions")
    changed(page, lambda: page.click("dialog button.primary"))
    assert len(world.dataset.catalog.caption_words.containing("blue")) == 4
    page.locator(".captions .scroller").focus()
    changed(page, lambda: page.keyboard.press("u"))
    assert len(world.dataset.catalog.caption_words.containing("blue")) == 0


def test_a_slow_list_of_words_does_not_take_the_focus_from_a_caption(page: Any) -> None:
    waiting: list[Any] = []
    page.route("**/api/words", lambda route: waiting.append(route))
    page.keyboard.press("3")
    page.wait_for_selector("#caption-0 textarea")
    page.keyboard.press("Enter")
    waiting[0].continue_()
    page.wait_for_selector(".word")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"


def test_a_slider_shows_what_would_change_before_it_is_applied(page: Any, world: World, home: Path) -> None:
    page.keyboard.press("4")
    slider = page.locator("#threshold-max_watermark")
    slider.focus()
    before = world.verdicts()
    slider.fill("0.95")
    page.wait_for_selector("text=+1")
    assert "watermarked" in page.inner_text(".change.gained")
    assert world.verdicts() == before
    changed(page, lambda: page.click("text=Apply 1 threshold"))
    assert all(reasons == [] for reasons in world.verdicts().values())
    assert "max_watermark = 0.95" in (home / "m.toml").read_text()


def test_two_people_are_merged_by_keyboard(page: Any, world: World) -> None:
    page.keyboard.press("2")
    page.wait_for_selector("#person-1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    page.keyboard.type("anna")
    changed(page, lambda: page.keyboard.press("Enter"))
    assert {state["person"] for state in world.dataset.catalog.decisions.states(list(world.verdicts()))} == {"anna"}
    changed(page, lambda: page.keyboard.press("u"))
    assert len({state["person"] for state in world.dataset.catalog.decisions.states(list(world.verdicts()))}) == 2


def test_a_decision_waits_while_another_command_has_the_dataset(page: Any, world: World) -> None:
    with FileLock(world.dataset.root / ".working"):
        page.keyboard.press("x")
        page.wait_for_selector("#queue:not([hidden])")
        assert "another bolid command" in page.inner_text("#queue")
        page.keyboard.press("x")
        assert world.dataset.catalog.decisions.log() == []
    page.wait_for_selector("#queue[hidden]", state="attached")
    wait(page, "Number(document.body.dataset.changes ?? 0) > 0")
    assert [entry["what"] for entry in world.dataset.catalog.decisions.log()] == ["reject", "reject"]


MANY = 50_000
_BULK = """
CREATE TEMP TABLE drawn AS SELECT i, sha256(i::VARCHAR) AS sha256, 'person_' || (i // 250) AS person
FROM range({photos}) photos(i);
INSERT INTO people BY NAME SELECT DISTINCT person, person AS name, 'listed' AS state FROM drawn;
INSERT INTO photos BY NAME SELECT sha256, 'JPEG' AS format, 1200 AS width, 1600 AS height, 9 AS bytes FROM drawn;
INSERT INTO sightings BY NAME
SELECT 'https://a.example/' || i || '.jpg' AS url, person, sha256, 'stored' AS state FROM drawn;
INSERT INTO judged BY NAME
SELECT person, sha256, i % 3 > 0 AS kept, CASE WHEN i % 3 > 0 THEN [] ELSE ['dark'] END AS reasons
FROM drawn;
"""


def test_fifty_thousand_photos_of_which_only_those_in_sight_are_in_the_page(
    browser: Any, world: World, home: Path
) -> None:
    with world.dataset.catalog.open() as con:
        con.execute(_BULK.format(photos=MANY))
    with Served(home / "m.toml", world.dataset) as served, opened(browser, served.address) as page:
        assert page.inner_text(".found") == "50,006 photos"
        for key, place in (("End", MANY + 5), ("Home", 0)):
            page.keyboard.press(key)
            page.wait_for_selector(f"#photo-{place}[aria-label]")
            assert page.get_attribute(f"#photo-{place}", "aria-setsize") == "50006"
            assert page.locator(".tile").count() < 200
        page.evaluate("document.querySelector('.scroller').scrollTop = 1e6")
        wait(page, "document.querySelectorAll('.tile[aria-label]').length > 12")
        page.keyboard.press("Control+a")
        assert "50,006 photos selected" in page.inner_text(".actions")


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"


def test_names_captions_and_addresses_are_only_ever_text(browser: Any, world: World, home: Path) -> None:
    sha256 = world.photo("eve", data=jpeg(9))
    world.dataset.catalog.sightings.record(
        [ListedPerson("eve", HOSTILE, "https://a.example/", 9)], [StoredPhoto(sha256, "JPEG", 1200, 1400, 9)],
        [Sighting(f"https://a.example/{HOSTILE}/x.jpg", "eve", f"javascript:{HOSTILE}", "stored", sha256, 200)],
    )  # fmt: skip
    world.dataset.catalog.captions.write({sha256: HOSTILE}, "")
    world.judge()
    with Served(home / "m.toml", world.dataset) as served, opened(browser, served.address) as page:
        page.keyboard.press("End")
        page.keyboard.press("w")
        page.wait_for_selector(".rule")
        assert page.input_value("#caption") == HOSTILE
        for view in "234":
            page.keyboard.press(view)
            page.wait_for_timeout(500)
            assert page.locator("script").count() == 1
            assert page.locator("main img[onerror]").count() == 0
        page.keyboard.press("2")
        assert HOSTILE.split("\u202e")[0] in page.inner_text("section.people")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_nothing_is_wider_than_the_window(browser: Any, served: Served, width: int, height: int) -> None:
    with opened(browser, served.address, width, height) as page:
        for view in "1234":
            page.keyboard.press(view)
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click("#tab-photos")
        page.click("#photo-1")
        if width < 720:
            page.click("#photo-1")
            page.wait_for_selector(".inspector.large img")
            changed(page, lambda: page.click("[aria-label='Reject (x)']"))

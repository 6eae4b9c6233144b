"""`bolid report`: what somebody finds on the page, and what must not be on it."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from bolid_data.catalog import Catalog
from bolid_data.curate.judge import judge, overview
from bolid_data.manifest import Filter
from bolid_data.records import ListedPerson, Model
from tests.bolid_data.curate.site_marks.test_update import MARKED, add, measure
from tests.support.commands import Done, bolid
from tests.support.marked_hosts import host
from tests.support.measured_dataset import LENIENT, MODELS, World, jpeg, view

MANIFEST = """
name = "mine"
[source]
kind = "urls"
path = "urls.csv"
[filter]
min_photos_per_person = 1
"""
STRICT = MANIFEST + "min_width = 1150\nmax_watermark = 0.2\n"
HOSTILE = "</figcaption><script>alert(1)</script><img src=http://evil.example/x>\u202e"


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "m.toml").write_text(MANIFEST)
    (tmp_path / "strict.toml").write_text(STRICT)
    return World(tmp_path / "data")


def report(world: World, *arguments: str | Path) -> Done:
    home = world.dataset.root.parent
    return bolid("report", home / "m.toml", "--data", world.dataset.root, *arguments, cwd=home)


def page(world: World, *arguments: str | Path) -> LexborHTMLParser:
    done = report(world, *arguments)
    assert done.returncode == 0, done.stderr
    return LexborHTMLParser((world.dataset.root / "report" / "index.html").read_text(encoding="utf-8"))


def text(tree: LexborHTMLParser, selector: str) -> str:
    node = tree.css_first(selector)
    assert node, f"nothing on the page is {selector}"
    return words(node)


def words(node: LexborNode) -> str:
    return " ".join(node.text(separator=" ").split())


def figures(tree: LexborHTMLParser, selector: str) -> dict[str, LexborNode]:
    """The figures within a part of the page, by the sha256 that they name."""
    found = {}
    for figure in tree.css(f"{selector} figure"):
        code = figure.css_first("code[title]")
        found[str(code.attributes["title"])] = figure
    return found


def test_a_photo_that_is_out_is_shown_under_its_reason_with_its_margin(world: World) -> None:
    small = world.photo(width=847, data=jpeg(1, 847))
    kept = world.photo(width=1024, data=jpeg(2, 1024))
    marked = world.photo(watermark=0.75, data=jpeg(3))
    world.judge()
    tree = page(world)

    sheet = figures(tree, "#reason-too_small .sheet:not(.in)")
    assert list(sheet) == [small]
    assert "width 847 < 1,000 (−153)" in sheet[small].text()
    assert str(sheet[small].css_first("img").attributes["src"]).startswith("data:image/webp;base64,")
    assert "watermark 0.75 > 0.5 (−0.25)" in figures(tree, "#reason-watermarked")[marked].text()
    nearest = figures(tree, "#reason-too_small .sheet.in")
    assert next(iter(nearest)) == kept, "what comes nearest to being out is shown beside it"
    assert "width 1,024 ≥ 1,000 (+24)" in nearest[kept].text()
    assert kept in figures(tree, "#kept")
    assert "too_small 1 2" in text(tree, ".funnel")
    assert "min_width out if < 1,000: 1" in text(tree, "#distributions")


def test_coverage_shows_what_is_missing(world: World) -> None:
    for _ in range(3):
        world.photo(keypoints=view("full", "front"))
    world.photo(keypoints=view("bust", "side"))
    world.judge()
    card = text(page(world), ".person:not(.all)")
    assert "4 of 4 kept" in card
    missing = card.partition("Missing:")[2]
    assert "full back" in missing and "bust side" not in missing and "full front" not in missing


def test_what_strangers_wrote_is_text(world: World) -> None:
    sha256 = world.photo(data=jpeg(1))
    world.dataset.catalog.sightings.record([ListedPerson("anna", HOSTILE, "https://a.example/anna/", 9)])
    model = Model('<b onmouseover="x">@1', HOSTILE, "", "{}", HOSTILE)
    world.dataset.catalog.captions.choose_captioner(model, HOSTILE)
    world.dataset.catalog.captions.record_captions(model.id, HOSTILE, {sha256: HOSTILE})
    world.judge()
    world.dataset.catalog.decisions.decide("keep", [("anna", sha256)], HOSTILE, HOSTILE)
    tree = page(world)
    assert not tree.css("script, iframe, object, link, base, form")
    assert not [node for node in tree.css("*") for name in node.attributes if name.startswith("on")]
    loaded = [value for node in tree.css("*") for name, value in node.attributes.items() if name in ("src", "srcset")]
    assert loaded and all(str(value).startswith("data:image/webp;base64,") for value in loaded)
    links = [str(node.attributes["href"]) for node in tree.css("[href]")]
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"url\(|@import", (tree.css_first("style").text()))
    policy = tree.css_first("meta[http-equiv=Content-Security-Policy]").attributes["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    shown = text(tree, "body")
    assert "<script>alert(1)</script>" in shown, "as text"
    assert "\u202e" not in shown and "\\u202e" in shown


def test_the_basis_of_people_is_shown_and_who_has_none(world: World) -> None:
    for person in ("anna", "berta", "carla", "dora"):
        world.photo(person)
    world.judge()
    consent = """
[consent]
basis = "form <7>"
by = "the archive"
until = 2999-12-31
[consent.people.carla]
until = 2020-01-01
[consent.people.dora]
basis = ""
"""
    (world.dataset.root.parent / "m.toml").write_text(MANIFEST + consent)
    shown = text(page(world), "#consent")
    assert "form <7> the archive 2999-12-31 2" in shown
    assert "refuses them: carla, dora." in shown


def test_owners_who_withdrew_see_no_picture(world: World) -> None:
    out, gone, kept = (world.photo(data=jpeg(seed)) for seed in range(3))
    world.judge()
    con = world.dataset.catalog
    with con.open() as open_catalog:
        for sha256, state in ((out, "opted_out"), (gone, "gone")):
            open_catalog.execute("UPDATE sightings SET state = ? WHERE sha256 = ?", [state, sha256])
    judge(con, LENIENT, MODELS)
    tree = page(world)
    assert not tree.css("#reason-opted_out img, #reason-gone img")
    assert {*figures(tree, "#samples")} == {kept}
    assert text(tree, "#consent .facts").startswith("opted out 1 deleted by their owner 1")


def test_sheets_are_bounded_and_always_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_MOST", 6)
    for seed in range(9):
        world.photo(width=600 + seed, data=jpeg(seed, 600 + seed, 900))
    world.judge()
    tree = page(world)
    first = figures(tree, "#reason-too_small")
    assert len(first) == 6 and "6 of 9" in text(tree, "#reason-too_small")
    assert "width 608 < 1,000 (−392)" in words(next(iter(first.values()))), "the nearest one comes first"
    assert list(figures(page(world), "#reason-too_small")) == list(first)


def test_copies_are_shown_beside_the_photo_that_is_kept(world: World) -> None:
    best, copy = (world.photo(width=width, phash=7, data=jpeg(1, width)) for width in (1300, 1200))
    world.photo("berta", phash=2**63, data=(both := jpeg(9)))
    world.photo("clara", data=both, measured=False)
    world.judge()
    tree = page(world)
    group, pair = map(words, tree.css("#copies .group"))
    assert group.index(best[:8]) < group.index(copy[:8]) and "0 bits" in group
    assert "berta clara the same file" in pair


def test_a_page_tells_where_photos_came_from_and_what_measured_them(world: World) -> None:
    world.photo(data=jpeg(1))
    con = world.dataset.catalog
    con.captions.choose_captioner(Model("cap@1", "cap", "", "{}", "CC-BY-NC-4.0"), "")
    con.captions.record_captions("cap@1", "", {_only(con): "a person in red"})
    world.judge()
    tree = page(world)
    assert "a.example 1 1" in text(tree, "#crawl")
    assert "pose pose@1 MIT 1 0 Free for any use" in text(tree, "#models")
    assert "CC-BY-NC-4.0 0 1 Not for commercial use" in text(tree, "#models")
    assert "person 100%" in text(tree, "#captions .words")


def test_before_anything_is_judged_the_page_says_so(world: World) -> None:
    world.photo()
    assert "Nothing is judged yet" in text(page(world), "#summary")


def test_a_page_without_a_catalog_is_an_error(world: World) -> None:
    world.dataset.catalog.path.unlink()
    done = report(world)
    assert done.returncode == 2 and "no such catalog" in done.stderr


def test_a_broken_photo_has_a_place_and_no_picture(world: World) -> None:
    world.photo(data=b"\xff\xd8\xff not a photo")
    world.judge()
    assert text(page(world), "#kept .none") == "no picture"


def test_only_its_owner_can_read_the_page(world: World) -> None:
    world.photo(data=jpeg(1))
    world.judge()
    result = json.loads(report(world, "--json").stdout)
    file = Path(result["file"])
    assert file == world.dataset.root / "report" / "index.html"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    assert (result["kept"], result["pictures"], result["bytes"]) == (1, 1, file.stat().st_size)
    assert [path.name for path in file.parent.iterdir()] == ["index.html"]


def test_changed_thresholds_are_named(world: World) -> None:
    world.photo(data=jpeg(1))
    world.judge()
    (world.dataset.root.parent / "m.toml").write_text(STRICT)
    assert "min_width 1000 → 1150" in text(page(world), "#summary")


def compared(world: World, other: str | Path) -> tuple[dict[str, Any], LexborHTMLParser]:
    result = json.loads(report(world, "--compare", other, "--json").stdout)["compared"]
    return result, page(world, "--compare", other)


def test_a_comparison_lists_exactly_the_photos_that_differ(world: World) -> None:
    world.photo(data=jpeg(1))
    world.photo(width=900)
    narrow = world.photo(width=1100, data=jpeg(2, 1100))
    both = world.photo("berta", width=1100, watermark=0.3, data=jpeg(3, 1100))
    world.judge()
    before = world.verdicts()
    result, tree = compared(world, "strict.toml")
    assert {photo["sha256"] for photo in result["photos"]} == {narrow, both}
    assert (result["gained"], result["lost"]) == (0, 2)
    assert result["lost_by"] == {"too_small": 2, "watermarked": 1}
    margins = {photo["sha256"]: photo["other"]["margins"] for photo in result["photos"]}
    assert margins[both] == {"too_small": -50, "watermarked": pytest.approx(-0.1)}
    assert {*figures(tree, "#differences")} == {narrow, both}
    assert "here kept there out: too_small −50, watermarked −0.1" in text(tree, "#differences")
    rows = [row.attributes["data-sha256"] for row in tree.css("#differences [data-sha256]")]
    assert sorted(map(str, rows)) == sorted([narrow, both])
    assert "min_width 1000 1150" in text(tree, "#differences")
    assert world.verdicts() == before, "nothing was judged"
    judge(world.dataset.catalog, Filter(min_photos_per_person=1, min_width=1150, max_watermark=0.2), MODELS)
    changed = {sha256 for sha256, reasons in world.verdicts().items() if bool(reasons) != bool(before[sha256])}
    assert changed == {narrow, both}, "and judging by these thresholds changes the same photos"


def test_a_comparison_with_another_dataset_names_its_reasons(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    (only_here,) = (world.photo(width=1100, data=jpeg(1, 1100)),)
    assert other.photo(width=1100, data=jpeg(1, 1100)) == only_here
    only_there = other.photo("zoe", data=jpeg(2))
    for each, thresholds in ((world, LENIENT), (other, Filter(min_photos_per_person=1, min_width=1150))):
        each.judge(thresholds)
    result, tree = compared(world, other.dataset.root)
    sides = {photo["sha256"]: (photo["here"]["kept"], photo["other"]["kept"]) for photo in result["photos"]}
    assert sides == {only_here: (True, False), only_there: (None, True)}
    assert figures(tree, "#differences")[only_there].css_first(".none"), "only photos of this dataset are shown"
    assert "there out: too_small" in text(tree, "#differences")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing.txt", "neither a manifest"), ("nothing.toml", "no such manifest"), ("empty", "no dataset"),
     ("nothing.json", "no such lock")],
)  # fmt: skip
def test_what_cannot_be_compared_is_named(world: World, name: str, message: str) -> None:
    world.photo()
    world.judge()
    (world.dataset.root.parent / "empty").mkdir()
    done = report(world, "--compare", name)
    assert done.returncode == 2 and message in done.stderr
    assert not (world.dataset.root / "report").exists()


def test_forgetting_somebody_deletes_the_page(world: World) -> None:
    world.photo(data=jpeg(1))
    world.photo("berta", data=jpeg(2))
    world.judge()
    page(world)
    home = world.dataset.root.parent
    done = bolid("forget", home / "m.toml", "anna", "--data", world.dataset.root, "--yes", cwd=home)
    assert done.returncode == 0, done.stderr
    assert not (world.dataset.root / "report").exists()
    tree = page(world)
    assert "berta" in text(tree, "body") and "anna" not in tree.html.lower()


def test_an_opt_out_deletes_the_page(world: World) -> None:
    """Also one of a photo that was in no shard: its sheet may have shown it."""
    sha256, other = world.photo(width=10, data=jpeg(1, 10)), world.photo(data=jpeg(2))
    world.judge()
    world.dataset.prepare()
    page(world)
    with world.dataset.catalog.open() as con:
        con.execute("UPDATE sightings SET state = 'opted_out' WHERE sha256 = ?", [sha256])
    world.dataset.prepare()
    assert not (world.dataset.root / "report").exists()
    judge(world.dataset.catalog, LENIENT, MODELS)
    tree = page(world)
    world.dataset.prepare()
    assert (world.dataset.root / "report").exists(), "an opt-out that is known deletes no later page"
    assert sha256 not in tree.html and other in tree.html


def test_a_site_s_mark_is_shown_with_its_host(world: World) -> None:
    add(world, host(14, MARKED))
    add(world, host(6, seed=40))
    measure(world)
    world.judge(Filter(min_width=1, min_height=1, min_photos_per_person=1, max_hamming=0))
    tree = page(world)
    assert "a.example photos of about" in (mark := text(tree, "#site_marks .mark"))
    assert "14 of 20 photos show it (above 0.25)" in mark
    assert str(tree.css_first("#site_marks img").attributes["src"]).startswith("data:image/webp;base64,")
    assert "max_site_mark out if > 0.25: 14" in text(tree, "#distributions")


def _only(catalog: Catalog) -> str:
    with catalog.open(read_only=True) as con:
        ((sha256,),) = con.execute("SELECT sha256 FROM photos").fetchall()
    return str(sha256)

from pathlib import Path

import pytest

from bolid_data.curate.judge import funnel, judge
from bolid_data.manifest import Filter
from bolid_data.report import show
from tests.support.measured_dataset import CAPTIONER, MODELS, World, view


def test_an_explanation_has_addresses_verdict_and_margins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    small, copy, kept = world.photo(width=900), world.photo(phash=1), world.photo(phash=3, width=1300)
    world.judge()
    world.dataset.catalog.captions.choose_captioner(CAPTIONER, "")
    world.dataset.catalog.captions.record_captions(CAPTIONER.id, "", {kept: "a person in red"})

    show.print_explanation(show.explain(world.dataset.catalog, small))
    text = capsys.readouterr().out
    assert "seen as anna at https://a.example/anna/1.jpg" in text
    assert "anna: out: too_small" in text
    assert "-100" in text, "the margin"
    assert "min_width = 900 instead of 1000 would put it in" in text

    show.print_explanation(show.explain(world.dataset.catalog, copy))
    text = capsys.readouterr().out
    assert "anna: out: duplicate" in text
    assert f"1 bits from {kept}" in text

    show.print_explanation(show.explain(world.dataset.catalog, kept))
    text = capsys.readouterr().out
    assert "anna: kept" in text
    assert "a person in red" in text


def test_a_broken_photo_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    sha256 = world.photo(measured=False)
    world.dataset.catalog.measurements.record_measurements([], {sha256: "cannot be decoded: truncated"})
    world.judge()
    show.print_explanation(show.explain(world.dataset.catalog, sha256))
    assert "broken: cannot be decoded: truncated" in capsys.readouterr().out


def test_the_funnel_and_the_status_count_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    for photo in ({}, {"people": ()}, {"width": 10}):
        world.photo(**photo)  # type: ignore[arg-type]
    change = world.judge()
    counts = funnel(world.dataset.catalog)
    show.print_funnel(counts | change)
    assert "no_person" in capsys.readouterr().out
    status = show.status(world.dataset)
    assert status["total"]["reasons"] == counts["reasons"]
    assert (status["total"]["kept"], status["total"]["captioned"]) == (1, 0)
    show.print_status(status)
    assert "left to do: `bolid caption` for 1 photo" in capsys.readouterr().out


def test_reasons_read_right_for_photos_of_three_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    sha256 = world.photo()
    change = judge(world.dataset.catalog, Filter(people=3, max_faces=3, min_photos_per_person=0), MODELS)
    counts = funnel(world.dataset.catalog)
    assert counts["reasons"] == {"no_person": 1}, "the word that is stored"
    show.print_funnel(counts | change, 3)
    show.print_status(show.status(world.dataset), 3)
    show.print_explanation(show.explain(world.dataset.catalog, sha256))
    text = capsys.readouterr().out
    assert text.count("fewer than 3 people") >= 4
    assert "anna: out: fewer than 3 people" in text
    assert "no_person" not in text


def test_names_are_cut_only_where_there_is_no_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a_name_of_forty_letters_" + 16 * "a"
    world = World(tmp_path)
    for index in range(3):
        world.photo(person=name, people=(), width=10, phash=index)
    world.judge()
    monkeypatch.setenv("COLUMNS", "80")
    show.print_status(show.status(world.dataset))
    assert f"│ {name} │" in capsys.readouterr().out, "the reasons wrap instead"
    monkeypatch.delenv("COLUMNS")
    show.print_status(show.status(world.dataset))
    lines = capsys.readouterr().out.splitlines()
    assert any(all(part in line for part in (name, "too_small 3", "no_person 3")) for line in lines), (
        "a pipe has no width"
    )


def test_the_funnel_shows_what_new_thresholds_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    catalog = world.dataset.catalog
    for watermark in (0.1, 0.6, 0.6):
        world.photo(watermark=watermark)
    world.photo(width=1050)
    world.judge()
    change = judge(catalog, Filter(min_photos_per_person=1, max_watermark=0.7, min_width=1100))
    show.print_funnel(funnel(catalog) | change)
    assert "+2 kept (were watermarked 2), −1 (are now too_small 1)" in capsys.readouterr().out


def test_an_explanation_shows_who_decided_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    sha256 = world.photo()
    world.dataset.catalog.decisions.decide("reject", [("anna", sha256)], "eva", "her sister")
    world.judge()
    show.print_explanation(show.explain(world.dataset.catalog, sha256))
    text = capsys.readouterr().out
    assert "anna: rejected by hand by eva" in text
    assert "her sister" in text


def test_status_lists_the_missing_framings_and_facings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    world.photo(keypoints=view(framing="full", facing="front"))
    world.photo(keypoints=view(framing="bust", facing="back"))
    world.judge()
    status = show.status(world.dataset)
    (anna,) = status["people"]
    assert anna["views"] == {"full front": 1, "bust back": 1}
    assert "full side" in anna["missing_views"]
    assert "full front" not in anna["missing_views"]
    show.print_status(status)
    text = capsys.readouterr().out
    assert "kept photos by facing: front · side · back" in text
    assert "1 · – · –" in text


def test_of_very_many_people_the_table_shows_those_with_the_fewest_kept_photos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "MAX_PEOPLE", 2)
    world = World(tmp_path)
    for person, photos in (("anna", 3), ("berta", 0), ("clara", 1), ("dora", 2)):
        world.photo(person, width=10)
        for _ in range(photos):
            world.photo(person, keypoints=view())
    world.judge()
    status = show.status(world.dataset)
    assert [row["person"] for row in status["people"]] == ["anna", "berta", "clara", "dora"], "--json has everyone"
    show.print_status(status)
    text = capsys.readouterr().out
    counts, coverage = text.split("kept photos by facing")
    assert [name in counts for name in ("anna", "berta", "clara", "dora")] == [False, True, True, False]
    assert [name in coverage for name in ("anna", "berta", "clara", "dora")] == [False, False, True, True]
    assert "│ all    │    396 │     10 │    6 │ too_small 4 │" in text
    assert "2 of 4 people, those with the fewest kept photos; --json has everyone" in text


def test_a_photo_with_several_captions_is_captioned_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    photo, _ = world.photo(), world.photo()
    world.judge()
    captions = world.dataset.catalog.captions
    captions.choose_captioner(CAPTIONER, "")
    for author in (CAPTIONER.id, "hand"):
        captions.record_captions(author, "", {photo: "a person in red"})
    assert show.status(world.dataset)["total"]["captioned"] == 1

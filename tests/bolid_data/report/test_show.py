from pathlib import Path

import pytest

from bolid_data.curate.judge import funnel, judge
from bolid_data.manifest import Filter
from bolid_data.report import show
from tests.bolid_data.world import CAPTIONER, MODELS, World

LENIENT = Filter(min_photos_per_person=1)


def test_an_explanation_says_where_what_and_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    small, near, kept = world.photo(width=900), world.photo(phash=1), world.photo(phash=3, width=1300)
    judge(world.dataset.catalog, LENIENT, MODELS)
    world.dataset.catalog.uncaptioned(CAPTIONER, "")
    world.dataset.catalog.record_captions(CAPTIONER.id, "", {kept: "a person in red"})

    show.print_explanation(show.explain(world.dataset.catalog, small))
    text = capsys.readouterr().out
    assert "seen as anna at https://a.example/anna/1.jpg" in text
    assert "anna: out: too_small" in text
    assert "-100" in text, "by how much"

    show.print_explanation(show.explain(world.dataset.catalog, near))
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
    world.dataset.catalog.record_measurements([], {sha256: "cannot be decoded: truncated"})
    judge(world.dataset.catalog, LENIENT, MODELS)
    show.print_explanation(show.explain(world.dataset.catalog, sha256))
    assert "broken: cannot be decoded: truncated" in capsys.readouterr().out


def test_the_funnel_and_the_status_count_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    for photo in ({}, {"people": ()}, {"width": 10}):
        world.photo(**photo)  # type: ignore[arg-type]
    change = judge(world.dataset.catalog, LENIENT, MODELS)
    found = funnel(world.dataset.catalog)
    show.print_funnel(found | change)
    assert "no_person" in capsys.readouterr().out
    status = show.status(world.dataset)
    assert status["total"]["reasons"] == found["reasons"]
    assert (status["total"]["kept"], status["total"]["captioned"]) == (1, 0)
    show.print_status(status)
    assert "left to do: `bolid caption` for 1 photos" in capsys.readouterr().out

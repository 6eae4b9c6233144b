from pathlib import Path

import pytest

from bolid_data.curate.judge import explain, judge
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter
from tests.support.measured_dataset import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_explain_shows_every_rule_with_its_margin(world: World) -> None:
    sha256 = world.photo(watermark=0.75)
    world.photo(phash=0)
    world.judge()
    explanation = explain(world.dataset.catalog, sha256[:10])
    assert explanation["verdicts"] == [{"person": "anna", "kept": False, "reasons": ["watermarked"]}]
    rules = {rule["threshold"]: rule for rule in explanation["rules"]}
    assert rules["max_watermark"]["out"]
    assert rules["max_watermark"]["margin"] == pytest.approx(-0.25)
    assert (rules["min_width"]["margin"], rules["min_width"]["out"]) == (200, False)
    assert [rule["reason"] for rule in explanation["rules"] if rule["out"]] == ["watermarked"]
    assert explanation["sightings"][0]["url"] == "https://a.example/anna/1.jpg"
    assert {row["kind"] for row in explanation["detections"]} == {"person", "face"}


def test_explain_names_every_threshold_that_alone_would_turn_the_verdict(world: World) -> None:
    sha256 = world.photo(people=(0.9, 0.6), areas=(1.0, 0.4), faces=(0.9,))
    world.judge()
    turns = {turn["threshold"]: turn for turn in explain(world.dataset.catalog, sha256)["turns"]}
    assert all(turn["kept"] for turn in turns.values())
    assert turns["people"]["to"] == 2
    assert turns["min_confidence"]["to"] == pytest.approx(0.6001)
    assert turns["min_prominence"]["to"] == pytest.approx(0.4, abs=2e-4)
    assert set(turns) == {"people", "min_confidence", "min_prominence"}


def test_a_turn_that_explain_names_does_turn_the_verdict(world: World) -> None:
    photos = [
        world.photo(watermark=0.7312),
        world.photo(visible=5),
        world.photo(width=900),
        world.photo(phash=1),
        world.photo(phash=2, width=1100),
        world.photo("berta"),
    ]
    thresholds = Filter(min_photos_per_person=2)
    world.judge(thresholds)
    before = world.verdicts()
    for sha256 in photos:
        for turn in explain(world.dataset.catalog, sha256)["turns"]:
            judge(world.dataset.catalog, thresholds.model_copy(update={turn["threshold"]: turn["to"]}))
            after = world.verdicts()[sha256]
            assert (not after) == turn["kept"] != (not before[sha256]), turn
            judge(world.dataset.catalog, thresholds)


def test_two_reasons_are_turned_by_no_single_threshold(world: World) -> None:
    sha256 = world.photo(watermark=0.9, width=900)
    world.judge()
    assert explain(world.dataset.catalog, sha256)["turns"] == []


def test_explain_and_judge_agree(world: World) -> None:
    for photo in ({}, {"width": 10}, {"phash": 5}, {"phash": 4}, {"visible": 2, "faces": (0.9, 0.8)}, {"people": ()}):
        world.photo(**photo)  # type: ignore[arg-type]
    world.judge(Filter(min_photos_per_person=2))
    for sha256, reasons in world.verdicts().items():
        rules = explain(world.dataset.catalog, sha256)["rules"]
        assert [rule["reason"] for rule in rules if rule["out"]] == reasons


def test_explain_refuses_what_it_cannot_find(world: World) -> None:
    with pytest.raises(UsageError, match="nothing is judged"):
        explain(world.dataset.catalog, world.photo())
    world.photo()
    world.judge()
    with pytest.raises(UsageError, match="no photo"):
        explain(world.dataset.catalog, "xyz")
    with pytest.raises(UsageError, match="no photo"):
        explain(world.dataset.catalog, "")


def test_a_photo_that_nobody_is_said_to_be_on_any_more_is_explained_too(world: World) -> None:
    sha256 = world.photo()
    world.judge()
    with world.dataset.catalog.open() as con:  # its file in the person's folder was edited
        con.execute("DELETE FROM sightings")
    explanation = explain(world.dataset.catalog, sha256)
    assert explanation["photo"]["sha256"] == sha256
    assert (explanation["verdicts"], explanation["turns"]) == ([], [])

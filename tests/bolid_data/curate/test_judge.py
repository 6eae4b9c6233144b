from pathlib import Path
from typing import Any

import pytest

from bolid_data.curate.judge import explain, funnel, judge
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter
from tests.bolid_data.world import MODELS, World

LENIENT = Filter(min_photos_per_person=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("photo", "reasons"),
    [
        ({}, []),
        ({"faces": ()}, []),  # seen from behind
        ({"width": 999}, ["too_small"]),
        ({"height": 999}, ["too_small"]),
        ({"width": 1000, "height": 1000}, []),
        ({"people": ()}, ["no_person"]),
        ({"people": (0.49,)}, ["no_person"]),
        ({"people": (0.9, 0.5)}, ["several_people"]),
        ({"people": (0.9, 0.49)}, []),
        ({"people": (0.9, 0.8), "areas": (1.0, 0.09)}, []),  # a bystander
        ({"people": (0.9, 0.8), "areas": (1.0, 0.11)}, ["several_people"]),
        ({"faces": (0.9, 0.9)}, ["several_faces"]),
        ({"watermark": 0.51}, ["watermarked"]),
        ({"watermark": 0.5}, []),
        ({"visible": 5}, ["few_keypoints"]),
        ({"visible": 6}, []),
        (
            {"people": (0.9, 0.9), "faces": (0.9, 0.9), "watermark": 1.0},
            ["several_people", "several_faces", "watermarked"],
        ),
    ],
)
def test_a_photo_alone(world: World, photo: dict[str, Any], reasons: list[str]) -> None:
    sha256 = world.photo(**photo)
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert world.verdicts() == {sha256: reasons}


def test_of_copies_the_largest_stays(world: World) -> None:
    small = world.photo(phash=0b0000, width=1100)
    large = world.photo(phash=0b1111, width=1300)
    other = world.photo(phash=0b11111111)  # 4 bits from the large one, and smaller
    far = world.photo(phash=0xFFFF_FFFF)
    elsewhere = world.photo("berta", phash=0b1111)
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert world.verdicts() == {small: ["duplicate"], large: [], other: ["duplicate"], far: [], elsewhere: []}


def test_what_is_out_anyway_pushes_no_copy_out(world: World) -> None:
    marked = world.photo(phash=1, width=1500, watermark=0.9)
    clean = world.photo(phash=1)
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert world.verdicts() == {marked: ["watermarked"], clean: []}


def test_the_same_photo_under_two_names(world: World) -> None:
    sha256 = world.photo("anna", data=b"same")
    world.photo("berta", data=b"same", measured=False)
    own = world.photo("berta")
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert world.verdicts() == {sha256: ["two_names"], own: []}
    assert funnel(world.dataset.catalog)["photos"] == 3, "one verdict per person and photo"


def test_too_few_photos_are_counted_after_all_else(world: World) -> None:
    few = [world.photo("anna"), world.photo("anna"), world.photo("anna", people=())]
    enough = [world.photo("berta") for _ in range(3)]
    judge(world.dataset.catalog, Filter(min_photos_per_person=3), MODELS)
    verdicts = world.verdicts()
    assert [verdicts[sha256] for sha256 in few] == [["few_photos"], ["few_photos"], ["no_person"]]
    assert all(verdicts[sha256] == [] for sha256 in enough)


def test_what_cannot_be_decoded_is_broken_and_nothing_else(world: World) -> None:
    sha256 = world.photo(measured=False)
    world.dataset.catalog.record_measurements([], {sha256: "truncated"})
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert world.verdicts() == {sha256: ["broken"]}


def test_what_is_not_measured_is_not_in(world: World) -> None:
    world.photo(measured=False)
    small = world.photo(measured=False, width=10)
    judge(world.dataset.catalog, LENIENT, MODELS)
    assert world.verdicts() == {small: ["too_small"]}


def test_new_thresholds_need_no_models(world: World) -> None:
    sha256 = world.photo(watermark=0.7)
    with pytest.raises(UsageError, match="nothing is measured"):
        judge(world.dataset.catalog, LENIENT)
    assert judge(world.dataset.catalog, LENIENT, MODELS) == {"gained": 0, "lost": 0}
    assert judge(world.dataset.catalog, Filter(min_photos_per_person=1, max_watermark=0.8)) == {"gained": 1, "lost": 0}
    assert world.verdicts() == {sha256: []}
    assert judge(world.dataset.catalog, LENIENT) == {"gained": 0, "lost": 1}


def test_the_funnel_adds_up(world: World) -> None:
    for photo in ({}, {"width": 10}, {"people": ()}, {"people": (), "watermark": 0.9}):
        world.photo(**photo)  # type: ignore[arg-type]
    judge(world.dataset.catalog, LENIENT, MODELS)
    found = funnel(world.dataset.catalog)
    assert found["reasons"] == {"too_small": 1, "no_person": 2, "watermarked": 1}
    assert found["photos"] - sum(found["leaving"].values()) == found["kept"] == 1


def test_explain_shows_every_rule_with_its_margin(world: World) -> None:
    sha256 = world.photo(watermark=0.75)
    world.photo(phash=0)
    judge(world.dataset.catalog, LENIENT, MODELS)
    found = explain(world.dataset.catalog, sha256[:10])
    assert found["verdicts"] == [{"person": "anna", "kept": False, "reasons": ["watermarked"]}]
    rules = {rule["threshold"]: rule for rule in found["rules"]}
    assert rules["max_watermark"]["out"]
    assert rules["max_watermark"]["margin"] == pytest.approx(-0.25)
    assert (rules["min_width"]["margin"], rules["min_width"]["out"]) == (200, False)
    assert [rule["reason"] for rule in found["rules"] if rule["out"]] == ["watermarked"]
    assert found["sightings"][0]["url"] == "https://a.example/anna/1.jpg"
    assert {row["kind"] for row in found["detections"]} == {"person", "face"}


def test_explain_and_judge_agree(world: World) -> None:
    for photo in ({}, {"width": 10}, {"phash": 5}, {"phash": 4}, {"visible": 2, "faces": (0.9, 0.8)}, {"people": ()}):
        world.photo(**photo)  # type: ignore[arg-type]
    judge(world.dataset.catalog, Filter(min_photos_per_person=2), MODELS)
    for sha256, reasons in world.verdicts().items():
        rules = explain(world.dataset.catalog, sha256)["rules"]
        assert [rule["reason"] for rule in rules if rule["out"]] == reasons


def test_explain_refuses_what_it_cannot_find(world: World) -> None:
    with pytest.raises(UsageError, match="nothing is judged"):
        explain(world.dataset.catalog, "ab")
    world.photo()
    world.photo()
    judge(world.dataset.catalog, LENIENT, MODELS)
    with pytest.raises(UsageError, match="no photo"):
        explain(world.dataset.catalog, "xyz")
    with pytest.raises(UsageError, match="more than one"):
        explain(world.dataset.catalog, "")

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bolid_data.curate import identity_similarity
from bolid_data.curate.judge import already_out, funnel, judge, ledger
from bolid_data.errors import UsageError
from bolid_data.manifest import Filter
from bolid_data.records import Measurements, Model
from tests.support.measured_dataset import LENIENT, MODELS, World


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
        ({"posters": 1, "faces": ()}, ["several_faces"]),  # from behind, and a face on nobody's body
        ({"posters": 1, "people": (), "faces": ()}, ["no_person"]),  # a face alone
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
    world.judge()
    assert world.verdicts() == {sha256: reasons}


def test_of_copies_the_largest_stays(world: World) -> None:
    small = world.photo(phash=0b0000, width=1100)
    large = world.photo(phash=0b1111, width=1300)
    other = world.photo(phash=0b11111111)  # 4 bits from the large one, and smaller
    far = world.photo(phash=0xFFFF_FFFF)
    elsewhere = world.photo("berta", phash=0b1111)
    world.judge()
    assert world.verdicts() == {small: ["duplicate"], large: [], other: ["duplicate"], far: [], elsewhere: []}


def test_what_is_out_anyway_pushes_no_copy_out(world: World) -> None:
    marked = world.photo(phash=1, width=1500, watermark=0.9)
    clean = world.photo(phash=1)
    world.judge()
    assert world.verdicts() == {marked: ["watermarked"], clean: []}


def test_the_same_photo_under_two_names(world: World) -> None:
    sha256 = world.photo("anna", data=b"same")
    world.photo("berta", data=b"same", measured=False)
    unshared = world.photo("berta")
    world.judge()
    assert world.verdicts() == {sha256: ["two_names"], unshared: []}
    assert funnel(world.dataset.catalog)["photos"] == 3, "one verdict per person and photo"


def test_too_few_photos_are_counted_after_all_else(world: World) -> None:
    few = [world.photo("anna"), world.photo("anna"), world.photo("anna", people=())]
    enough = [world.photo("berta") for _ in range(3)]
    world.judge(Filter(min_photos_per_person=3))
    verdicts = world.verdicts()
    assert [verdicts[sha256] for sha256 in few] == [["few_photos"], ["few_photos"], ["no_person"]]
    assert all(verdicts[sha256] == [] for sha256 in enough)


def test_what_cannot_be_decoded_is_broken_and_nothing_else(world: World) -> None:
    sha256 = world.photo(measured=False)
    world.dataset.catalog.measurements.record_measurements([], {sha256: "truncated"})
    world.judge()
    assert world.verdicts() == {sha256: ["broken"]}


def test_what_is_not_measured_is_not_in(world: World) -> None:
    world.photo(measured=False)
    small = world.photo(measured=False, width=10)
    assert world.judge()["unmeasured"] == 1
    assert world.verdicts() == {small: ["too_small"]}


def test_new_thresholds_need_no_models(world: World) -> None:
    sha256 = world.photo(watermark=0.7)
    with pytest.raises(UsageError, match="nothing is measured"):
        judge(world.dataset.catalog, LENIENT)
    assert world.judge() == {"gained": 0, "lost": 0, "gained_by": {}, "lost_by": {}, "unmeasured": 0}
    change = judge(world.dataset.catalog, Filter(min_photos_per_person=1, max_watermark=0.8))
    assert change == {"gained": 1, "lost": 0, "gained_by": {"watermarked": 1}, "lost_by": {}, "unmeasured": 0}
    assert world.verdicts() == {sha256: []}
    change = judge(world.dataset.catalog, LENIENT)
    assert change == {"gained": 0, "lost": 1, "gained_by": {}, "lost_by": {"watermarked": 1}, "unmeasured": 0}


@pytest.mark.parametrize(
    ("photo", "threshold", "reason"),
    [
        ({"sharpness": 9.9}, {"min_sharpness": 10}, "blurred"),
        ({"brightness": 0.1}, {"min_brightness": 0.11}, "dark"),
        ({"brightness": 0.9}, {"max_brightness": 0.8}, "bright"),
        ({"colourfulness": 1.0}, {"min_colourfulness": 5}, "colourless"),
        ({"width": 1400, "height": 1000}, {"max_aspect": 1.2}, "aspect"),
        ({"width": 1000, "height": 3000}, {"min_aspect": 0.5}, "aspect"),
    ],
)
def test_quality_counts_once_the_manifest_says_so(
    world: World, photo: dict[str, Any], threshold: dict[str, float], reason: str
) -> None:
    sha256 = world.photo(**photo)
    world.judge()
    assert world.verdicts() == {sha256: []}, "off by default"
    world.judge(Filter.model_validate({"min_photos_per_person": 1} | threshold))
    assert world.verdicts() == {sha256: [reason]}


def test_of_equally_large_copies_the_least_compressed_stays(world: World) -> None:
    blocky = world.photo(phash=1, data=b"few bytes", sharpness=400.0)
    original = world.photo(phash=1, data=b"as many bytes as it had", sharpness=300.0)
    world.judge()
    assert world.verdicts() == {blocky: ["duplicate"], original: []}


def test_of_copies_alike_in_all_else_the_sharpest_stays(world: World) -> None:
    soft = world.photo(phash=1, sharpness=50.0)
    sharp = world.photo(phash=1, sharpness=400.0)
    world.judge()
    assert world.verdicts() == {soft: ["duplicate"], sharp: []}


def test_a_decision_by_hand_stands_over_what_was_measured(world: World) -> None:
    catalog = world.dataset.catalog
    marked, fine = world.photo(watermark=0.9), world.photo()
    world.judge()
    catalog.decisions.decide("keep", [("anna", marked)], "eva", "the mark is a tattoo")
    catalog.decisions.decide("reject", [("anna", fine)], "eva", "not her")
    world.judge()
    assert world.verdicts() == {marked: [], fine: ["rejected"]}
    catalog.decisions.undo([marked], "eva")
    world.judge()
    assert world.verdicts() == {marked: ["watermarked"], fine: ["rejected"]}
    with pytest.raises(UsageError, match="no such photo"):
        catalog.decisions.decide("keep", [("anna", "0" * 64)], "eva", "")


def test_no_decision_brings_back_what_its_owner_opted_out(world: World) -> None:
    catalog = world.dataset.catalog
    sha256 = world.photo()
    (sighting,) = catalog.sightings.at_addresses(["https://a.example/anna/1.jpg"])
    catalog.decisions.decide("keep", [("anna", sha256)], "eva", "I want it")
    catalog.sightings.update([replace(sighting, state="opted_out")])
    world.judge()
    assert world.verdicts() == {sha256: ["opted_out"]}


def test_a_rejected_photo_counts_for_nobody(world: World) -> None:
    photos = [world.photo() for _ in range(3)]
    world.dataset.catalog.decisions.decide("reject", [("anna", photos[0])], "eva", "")
    world.judge(Filter(min_photos_per_person=3))
    assert world.verdicts()[photos[1]] == ["few_photos"]


def test_new_photos_are_in_the_next_judgement(world: World) -> None:
    first = world.photo()
    world.judge()
    second = world.photo()
    judge(world.dataset.catalog, LENIENT)
    assert set(world.verdicts()) == {first, second}


def test_the_odd_one_out_is_out_where_the_manifest_asks(world: World) -> None:
    photos = [world.photo() for _ in range(4)]
    vectors = {sha256: [1.0, 0.0] for sha256 in photos[:3]} | {photos[3]: [0.0, 1.0]}
    rows = [{"sha256": sha256, "vector": vector} for sha256, vector in vectors.items()]
    identity = Model("identity@1", "identity", "", "{}", "MIT")
    catalog = world.dataset.catalog
    catalog.measurements.record_measurements([Measurements(identity, photos, {"embeddings": rows})], {})
    identity_similarity.update(catalog, identity.id)
    models = replace(MODELS, identity=identity.id)
    judge(catalog, Filter(min_photos_per_person=1), models)
    assert not any(world.verdicts().values()), "off by default"
    judge(catalog, Filter(min_photos_per_person=1, min_likeness=0.4), models)
    assert [sha256 for sha256, reasons in world.verdicts().items() if reasons == ["odd_one_out"]] == [photos[3]]


def test_only_what_is_out_whatever_else_is_measured_is_already_out(world: World) -> None:
    small, fine = world.photo(measured=False, width=10), world.photo(measured=False)
    crowd = world.photo(people=(0.9, 0.9))
    out = already_out(world.dataset.catalog, Filter(min_photos_per_person=99), MODELS, [small, fine, crowd])
    assert out == {small, crowd}


def test_the_funnel_adds_up(world: World) -> None:
    for photo in ({}, {"width": 10}, {"people": ()}, {"people": (), "watermark": 0.9}):
        world.photo(**photo)  # type: ignore[arg-type]
    world.judge()
    counts = funnel(world.dataset.catalog)
    assert counts["reasons"] == {"too_small": 1, "no_person": 2, "watermarked": 1}
    assert counts["photos"] - sum(counts["leaving"].values()) == counts["kept"] == 1


def test_a_ledger_built_in_batches_gives_the_same_verdicts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.photo("anna", data=b"same")
    world.photo("berta", data=b"same", measured=False)
    for person in ("anna", "berta"):
        world.photo(person, phash=0, width=1300)
        world.photo(person, phash=1)
        world.photo(person, people=())
    rows = "FROM ledger ORDER BY person, sha256"
    world.judge()
    with world.dataset.catalog.open() as con:
        at_once, judged = con.execute(rows).fetchall(), _verdicts(con)
        con.execute("DELETE FROM ledger_state")
    monkeypatch.setattr(ledger, "BATCH", 2)
    world.judge()
    with world.dataset.catalog.open(read_only=True) as con:
        assert con.execute(rows).fetchall() == at_once
        assert con.execute("FROM ledger").fetchall() == at_once, "a person's rows are adjacent"
        assert _verdicts(con) == judged
    assert {reason for *_, reasons in judged for reason in reasons} == {"two_names", "duplicate", "no_person"}


def test_nothing_collected_is_judged_as_nothing(world: World) -> None:
    assert world.judge() == {"gained": 0, "lost": 0, "gained_by": {}, "lost_by": {}, "unmeasured": 0}


def _verdicts(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, list[str]]]:
    return con.execute("SELECT person, sha256, reasons FROM verdicts ORDER BY ALL").fetchall()

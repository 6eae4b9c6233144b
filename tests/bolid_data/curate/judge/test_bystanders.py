"""Who counts: small, blurred and cut people beside the largest one, and photos that lie on their side."""

from pathlib import Path
from typing import Any

import pytest

from bolid_data.curate.judge import explain
from bolid_data.manifest import Filter
from tests.support.measured_dataset import LENIENT, POSE, World, view

WIDTH, HEIGHT = 1200, 1400
WHOLE = view()
HALF = [[x, y, 0.1 if i % 2 else confidence] for i, (x, y, confidence) in enumerate(WHOLE)]  # the left side is missing


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def body(box: tuple[float, ...], sharpness: float = 500, keypoints: Any = WHOLE, score: float = 0.9) -> dict[str, Any]:
    return {"kind": "person", "score": score, "box": list(box), "keypoints": keypoints, "sharpness": sharpness}


SUBJECT = body((400, 200, 800, 1200))
BESIDE = (850.0, 500.0, 1000.0, 1000.0)  # a box of 0.19 of the subject's
AT_EDGE = (1050.0, 500.0, 1200.0, 1000.0)  # as large


def scene(world: World, *bodies: dict[str, Any], faces: tuple[tuple[float, ...], ...] = ()) -> str:
    sha256 = world.photo(width=WIDTH, height=HEIGHT, people=(), faces=())
    rows = [{"sha256": sha256, "model": POSE.id} | row for row in bodies]
    rows += [
        {"sha256": sha256, "model": "face@1", "kind": "face", "score": 0.9, "box": list(box), "keypoints": None}
        for box in faces
    ]
    with world.dataset.catalog.open() as con:
        for row in rows:
            con.execute(
                f"INSERT INTO detections ({', '.join(row)}) VALUES ({', '.join('?' for _ in row)})", list(row.values())
            )
    return sha256


def reasons(world: World, sha256: str, thresholds: Filter = LENIENT) -> list[str]:
    world.judge(thresholds)
    return world.verdicts()[sha256]


@pytest.mark.parametrize(
    ("other", "counts"),
    [
        (body(BESIDE), True),
        (body(AT_EDGE), True),  # at the edge, but whole
        (body(AT_EDGE, keypoints=HALF), False),
        (body(BESIDE, keypoints=HALF), True),  # seen from the side, not cut
        (body(BESIDE, sharpness=99), False),
        (body(BESIDE, sharpness=101), True),
        (body((850, 600, 920, 800)), False),  # small
        (body((0, 200, 395, 1200), sharpness=5, keypoints=HALF), True),  # too large for a bystander
    ],
    ids=["whole", "at the edge", "cut", "half seen", "blurred", "sharp", "small", "large"],
)
def test_who_counts(world: World, other: dict[str, Any], counts: bool) -> None:
    sha256 = scene(world, SUBJECT, other)
    assert reasons(world, sha256) == (["several_people"] if counts else [])


def test_the_manifest_can_count_people_in_the_background(world: World) -> None:
    sha256 = scene(world, SUBJECT, body(AT_EDGE, keypoints=HALF))
    assert reasons(world, sha256, Filter(min_photos_per_person=1, min_background_prominence=0)) == ["several_people"]
    # The largest person counts, blurred and cut as he may be.
    alone = scene(world, body((0, 200, 400, 1200), keypoints=HALF))
    assert reasons(world, alone) == []


def test_the_face_of_a_bystander_does_not_count_but_one_on_a_poster_does(world: World) -> None:
    subject_face, edge_face, poster = (550.0, 220, 650, 340), (1100.0, 510, 1180, 600), (50.0, 50, 150, 170)
    bystander = body(AT_EDGE, keypoints=HALF)
    sha256 = scene(world, SUBJECT, bystander, faces=(subject_face, edge_face))
    assert reasons(world, sha256) == []
    whole = scene(world, SUBJECT, body(AT_EDGE), faces=(subject_face, edge_face))
    assert reasons(world, whole) == ["several_people", "several_faces"]
    with_poster = scene(world, SUBJECT, bystander, faces=(subject_face, poster))
    assert reasons(world, with_poster) == ["several_faces"]


def test_a_face_that_two_people_could_have_counts_if_one_of_them_does(world: World) -> None:
    overlapping = body((620, 210, 780, 560), sharpness=10)
    sha256 = scene(world, SUBJECT, overlapping, faces=((650, 220, 750, 340), (450, 220, 550, 340)))
    assert reasons(world, sha256) == ["several_faces"]


def test_keypoints_are_those_of_the_main_person_not_of_the_most_certain_one(world: World) -> None:
    bystander = body(AT_EDGE, keypoints=HALF, score=0.99)
    sha256 = scene(world, SUBJECT, bystander)
    assert reasons(world, sha256, Filter(min_photos_per_person=1, min_keypoints=12)) == []
    (point, *_) = world.dataset.catalog.measurements.keypoints([sha256])[sha256]
    assert point[2] == pytest.approx(0.9)


def test_explain_says_who_counts_by_which_margin(world: World) -> None:
    sha256 = scene(world, SUBJECT, body(AT_EDGE, sharpness=50, keypoints=HALF, score=0.8))
    world.judge()
    explanation = explain(world.dataset.catalog, sha256)
    subject, bystander = explanation["people"]
    assert subject["counts"] and subject["prominence"] == 1 and not subject["cut"]
    assert not bystander["counts"] and bystander["cut"] and list(bystander["box"]) == list(AT_EDGE)
    assert bystander["prominence"] == pytest.approx(0.1875)
    assert bystander["margin"] == pytest.approx(0.1875 - 0.4, abs=1e-6)
    assert bystander["relative_sharpness"] == pytest.approx(0.1)
    turns = {turn["threshold"]: turn["to"] for turn in explanation["turns"]}
    assert turns["min_background_prominence"] == pytest.approx(0.1875, abs=1e-4)


def test_measurements_without_sharpness_judge_by_size_and_edge_alone(world: World) -> None:
    sha256 = scene(world, SUBJECT, body(BESIDE) | {"sharpness": None})
    assert reasons(world, sha256) == ["several_people"]


def turned(points: list[list[float]], quarters: int) -> list[list[float]]:
    """Keypoints as they are after so many quarter turns clockwise of their photo."""
    for _ in range(quarters):
        points = [[HEIGHT - y, x, confidence] for x, y, confidence in points]
    return points


@pytest.mark.parametrize(("quarters", "out"), [(0, []), (1, ["sideways"]), (2, ["sideways"]), (3, ["sideways"])])
def test_a_photo_that_lies_on_its_side_is_out(world: World, quarters: int, out: list[str]) -> None:
    sha256 = scene(world, body((100, 50, 1100, 1000), keypoints=turned(WHOLE, quarters)))
    assert reasons(world, sha256) == out
    rule = next(r for r in explain(world.dataset.catalog, sha256)["rules"] if r["reason"] == "sideways")
    assert rule["margin"] == pytest.approx(60 - (0, 90, 180, 90)[quarters], abs=2)


def test_somebody_who_bends_down_is_not_on_the_side(world: World) -> None:
    points = [[x, y, c] for x, y, c in WHOLE]
    for head in range(5):
        points[head] = [points[head][0] + 450, 500.0, 0.9]  # beside the hips
    sha256 = scene(world, body((300, 450, 1100, 1000), keypoints=points))
    assert reasons(world, sha256) == []
    no_legs = [[x, y, c if i < 13 else 0.1] for i, (x, y, c) in enumerate(points)]
    assert reasons(world, scene(world, body((300, 450, 1100, 600), keypoints=no_legs))) == ["sideways"]

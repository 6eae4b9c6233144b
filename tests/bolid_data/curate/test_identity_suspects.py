"""Two names of one person, and two people under one name, by embeddings that a test writes down."""

from pathlib import Path

import numpy as np
import pytest

from bolid_data.curate.identity_suspects import describe, find
from bolid_data.records import Measurements, Model
from tests.support.measured_dataset import World

FACES = Model("faces@1", "faces", "", "{}", "MIT")
FIRST, SECOND, THIRD = np.eye(8)[:3]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def add(world: World, person: str, face: np.ndarray, photos: int) -> list[str]:
    """Adds photos with embeddings around a face; returns their sha256s."""
    rng = np.random.default_rng(len(person))
    sha256s = []
    for _ in range(photos):
        sha256 = world.photo(person)
        vector = face + 0.05 * rng.normal(size=len(face))
        row = {"sha256": sha256, "vector": (vector / np.linalg.norm(vector)).tolist()}
        world.dataset.catalog.measurements.record_measurements(
            [Measurements(FACES, [sha256], {"embeddings": [row]})], {}
        )
        sha256s.append(sha256)
    return sha256s


def test_people_of_their_own_are_not_suspected(world: World) -> None:
    for person, face in {"anna": FIRST, "ben": SECOND, "cleo": THIRD}.items():
        add(world, person, face, 5)
    assert find(world.dataset.catalog, FACES.id) == {"one_person": [], "two_people": []}
    assert find(world.dataset.catalog, "another model") == {"one_person": [], "two_people": []}


def test_one_person_under_two_names_and_two_under_one(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    add(world, "anna", FIRST, 4)
    add(world, "anne", FIRST, 4)
    add(world, "ben", SECOND, 6)
    others = add(world, "ben", THIRD, 3)
    suspects = find(world.dataset.catalog, FACES.id)
    (pair,) = suspects["one_person"]
    assert pair["people"] == ["anna", "anne"] and pair["likeness"] > 0.96
    (mixed,) = suspects["two_people"]
    assert mixed["person"] == "ben" and mixed["photos"] == sorted(others) and mixed["likeness"] < 0.9
    describe(suspects)
    assert "anna and anne look like one person" in capsys.readouterr().err


def test_a_single_photo_of_somebody_else_is_an_odd_one_out_not_a_second_person(world: World) -> None:
    add(world, "anna", FIRST, 6)
    add(world, "anna", SECOND, 1)
    assert find(world.dataset.catalog, FACES.id)["two_people"] == []

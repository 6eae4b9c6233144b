"""The three forms of L_id: what each asks of a picture, on people of sticks."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bolid_train.data.proportions import SPREAD, mean_proportions, proportions
from bolid_train.losses.identity import absolute, of_proportions, retargeted
from bolid_train.losses.skeleton import retarget
from tests.support.stick_figures import DANCING, ELSEWHERE, STANDING, Body, Pose, figure, hidden

SIZE = (200, 250)
LONG_LEGS = replace(Body(), thigh=0.7 * 1.1)


def _fractions(keypoints: Tensor) -> Tensor:
    return keypoints / torch.tensor([*SIZE, 1.0])


def _absolute(found: Tensor, person: Tensor) -> Tensor:
    return absolute(found, _fractions(person), SIZE)


def _proportions(found: Tensor, person: Tensor) -> Tensor:
    return of_proportions(found, proportions(person), torch.tensor(SPREAD))


def _retargeted(found: Tensor, person: Tensor) -> Tensor:
    return retargeted(found, proportions(person), SIZE)


FORMS = {"absolute": _absolute, "proportions": _proportions, "retargeted": _retargeted}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@every_form
def test_the_same_body_in_the_same_pose_costs_nothing(form: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert form(figure(), figure()).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pose", [DANCING, ELSEWHERE], ids=["pose", "place and scale"])
def test_only_the_papers_form_asks_for_pose_place_and_scale(pose: Pose) -> None:
    found = figure(pose=pose)
    assert _proportions(found, figure()).item() == pytest.approx(0, abs=1e-6)
    assert _retargeted(found, figure()).item() == pytest.approx(0, abs=1e-6)
    assert _absolute(found, figure()).item() > 0.5


@every_form
@pytest.mark.parametrize("pose", [STANDING, DANCING, ELSEWHERE], ids=["as it was", "pose", "place and scale"])
def test_another_body_costs_something_in_every_pose(form: Callable[[Tensor, Tensor], Tensor], pose: Pose) -> None:
    assert form(figure(LONG_LEGS, pose), figure()).item() > 0.004


def test_the_papers_form_is_the_papers_formula() -> None:
    found, reference = figure(pose=DANCING), hidden(figure(), 9, 15)
    found[0, :5, 2] = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.4])
    numerator = denominator = 0.0
    for (x, y, seen), (to_x, to_y, known) in zip(found[0].tolist(), reference[0].tolist(), strict=True):
        weight = seen * known if min(seen, known) >= 0.5 else 0.0
        numerator += weight * (((x - to_x) / SIZE[0]) ** 2 + ((y - to_y) / SIZE[1]) ** 2)
        denominator += weight
    assert _absolute(found, reference).item() == pytest.approx(100 * numerator / denominator, rel=1e-4)


def test_proportions_that_differ_cost_their_huber_loss_in_units_of_their_spread() -> None:
    apart = math.log(1.1) / SPREAD[5]
    assert apart > 1
    assert _proportions(figure(LONG_LEGS), figure()).item() == pytest.approx((apart - 0.5) / 7, rel=1e-3)


def test_retargeting_moves_what_hangs_on_a_bone_and_nothing_else() -> None:
    found = figure(pose=DANCING)
    goal = retarget(found, proportions(figure(LONG_LEGS)))
    moved = goal - found[..., :2]
    for hip in (11, 12):
        thigh = 0.1 * (found[0, hip + 2, :2] - found[0, hip, :2])
        torch.testing.assert_close(moved[0, hip + 2], thigh, atol=1e-3, rtol=0)
        torch.testing.assert_close(moved[0, hip + 4], thigh, atol=1e-3, rtol=0)
    assert moved[0, :13].abs().max().item() < 1e-3


@pytest.mark.parametrize("name", ["face", "shoulders", "hips", "upper_arm", "forearm", "thigh", "shin"])
def test_a_retargeted_pose_has_the_other_bodys_lengths(name: str) -> None:
    person = figure(replace(Body(), **{name: getattr(Body(), name) * 1.2}))
    found = figure(pose=DANCING)
    goal = torch.cat([retarget(found, proportions(person)), found[..., 2:]], dim=2)
    torch.testing.assert_close(proportions(goal), proportions(person), atol=1e-3, rtol=0)


def test_a_bone_that_seems_absurdly_short_is_not_made_absurdly_long() -> None:
    from_the_side = figure(replace(Body(), shoulders=0.02))
    width = 2 * 0.02 * STANDING.trunk
    goal = retarget(from_the_side, proportions(figure()))
    assert (goal[0, 5] - goal[0, 6]).norm().item() == pytest.approx(width * math.exp(0.5), rel=1e-3)


@every_form
def test_gradients_are_finite_and_leave_out_what_is_not_seen(form: Callable[[Tensor, Tensor], Tensor]) -> None:
    person = hidden(figure(), 10, 14)
    rows = torch.cat([hidden(figure(LONG_LEGS, DANCING), 9, 15), hidden(figure(), *range(17)), hidden(figure(), 0)])
    found = rows.requires_grad_()
    form(found, person.expand(3, -1, -1)).sum().backward()
    assert found.grad is not None and found.grad.isfinite().all()
    assert found.grad[0, :, :2].abs().sum() > 0
    assert not found.grad[0, [9, 15]].any() and not found.grad[1].any()
    assert not found.grad[..., 2].any()  # else hiding a limb would lower the loss


@every_form
def test_every_row_has_its_own_loss(form: Callable[[Tensor, Tensor], Tensor]) -> None:
    found = torch.cat([hidden(figure(LONG_LEGS, DANCING), 3, 4), figure(pose=ELSEWHERE), figure(LONG_LEGS)])
    person = torch.cat([figure(), hidden(figure(), 7, 9), figure(pose=DANCING)])
    alone = torch.cat([form(found[row : row + 1], person[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(form(found, person), alone)


@every_form
def test_following_the_gradient_brings_the_persons_body(form: Callable[[Tensor, Tensor], Tensor]) -> None:
    person, places = proportions(figure()), figure(LONG_LEGS)[..., :2].requires_grad_()
    optimizer = torch.optim.Adam([places], lr=0.2)
    for _ in range(150):
        optimizer.zero_grad()
        found = torch.cat([places, torch.ones(1, 17, 1)], dim=2)
        form(found, figure()).sum().backward()
        optimizer.step()
    after = proportions(torch.cat([places.detach(), torch.ones(1, 17, 1)], dim=2))
    assert (after - person).abs().max() < 0.02 < (proportions(figure(LONG_LEGS)) - person).abs().max()


def test_a_persons_proportions_are_the_mean_of_what_the_photos_show() -> None:
    bodies = [figure(), figure(LONG_LEGS, DANCING), hidden(figure(pose=ELSEWHERE), 13, 14), torch.zeros(1, 17, 3)]
    person = mean_proportions(torch.stack(bodies, dim=1))
    expected = proportions(figure())
    expected[0, 5] += math.log(1.1) / 2
    torch.testing.assert_close(person, expected, atol=1e-4, rtol=0)

"""A body in a pose: trunk, legs and arms turned, hands where they belong, on the ground."""

from dataclasses import dataclass

import numpy as np

from bolid_data.synthetic.body import Floats, Posed, body_model, skin_vertices
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.pose import LIMITS, Pose
from bolid_data.synthetic.reach import depth_in_trunk, target, trunk_check
from bolid_data.synthetic.turns import Axis, about, between, frame, unit

_FIST = 78.0  # degrees that fingers are curled
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_NECK = ("neck01", "neck02", "neck03", "head")


@dataclass(frozen=True)
class Stand:
    """A person in a pose: on the ground, feet around the origin, facing -y."""

    pose: Pose
    posed: Posed
    rest_vertices: Floats  # (V, 3) with the face's expression
    vertices: Floats  # (V, 3)
    joints: Floats  # (17, 3) COCO's keypoints

    def skinned(self, rest: Floats, skin: Floats) -> Floats:
        """(N, 3) other vertices at rest, with weights of bones (N, B), in this pose."""
        return skin_vertices(rest, skin, self.posed)


def stand(person: Person, pose: Pose) -> Stand:
    """Puts a person into a pose. Arms that would enter the trunk are moved away from it."""
    body = body_model()
    rest = person.rest
    scale = person.measures.stature / 1.7
    shapes = [amount * body["expressions"][body.names["expressions"].index(name)] for name, amount in pose.expression]
    face = rest.vertices + sum(shapes, np.zeros(3)) * scale
    checked, checked_skin = trunk_check()
    room = 0.0
    for _ in range(5):
        turns = np.tile(np.eye(3, dtype=np.float32), (len(body.parents), 1, 1))
        _trunk(turns, pose)
        for left in (True, False):
            _leg(turns, pose, left)
        posed = body.pose(rest, turns)
        rng = np.random.default_rng(pose.seed)
        for left in (True, False):
            _arm(turns, posed, person, pose, rng, left, room)
        _fingers(turns, pose)
        posed = body.pose(rest, turns)
        if depth_in_trunk(skin_vertices(face[checked], checked_skin, posed)) < 0.012:
            break
        room += 0.03
    vertices = skin_vertices(face, body.skin, posed)
    lowest = np.percentile(vertices[:, 2], 0.2)
    shift = np.array([-vertices[:, 0].mean(), -vertices[:, 1].mean(), -lowest], np.float32)
    posed = Posed(
        np.concatenate([posed.transforms[:, :, :3], posed.transforms[:, :, 3:] + shift[None, :, None]], 2),
        posed.heads + shift,
    )
    vertices = (vertices + shift).astype(np.float32)
    return Stand(pose, posed, face.astype(np.float32), vertices, body.keypoints(vertices))


def _trunk(turns: Floats, pose: Pose) -> None:
    bone = body_model().bone
    lean = float(np.clip(pose.lean, *LIMITS["trunk"]))
    turns[0] = about("y", pose.tilt)
    for name in _SPINE:
        part = about("z", pose.turn / 5) @ about("x", lean / 5) @ about("y", pose.bend / 5)
        turns[bone[name]] = part
    nod, tilt, turn = pose.head
    for name in _NECK:
        turns[bone[name]] = (
            about("z", turn / 4) @ about("x", (nod - lean * 0.7) / 4) @ about("y", (tilt - pose.bend * 0.6) / 4)
        )
    for name in ("eye.L", "eye.R"):
        turns[bone[name]] = about("z", -turn * 0.3) @ about("x", -nod * 0.3)


def _leg(turns: Floats, pose: Pose, left: bool) -> None:
    bone, index, sign = body_model().bone, 0 if left else 1, 1 if left else -1
    end = "L" if left else "R"
    hip, knee = pose.hips[index], pose.knees[index]
    # Legs of the rest pose are spread; a positive angle about y would close the left one.
    turns[bone[f"upperleg01.{end}"]] = about("x", -hip) @ about("y", -sign * pose.spread[index])
    turns[bone[f"lowerleg01.{end}"]] = about("x", knee)
    foot = hip - knee if pose.stance == "sitting" else np.clip(hip - knee, -12, 14) * 0.9
    if pose.stance != "sitting" and hip < -5:
        foot = hip * 0.4  # the heel of the rear leg is raised
    turns[bone[f"foot.{end}"]] = about("x", foot) @ about("y", sign * pose.spread[index] * 0.6)


def _arm(
    turns: Floats, posed: Posed, person: Person, pose: Pose, rng: np.random.Generator, left: bool, room: float
) -> None:
    """Turns an arm so that its hand is where `_target` says, the elbow towards a side."""
    body, end, sign = body_model(), "L" if left else "R", 1.0 if left else -1.0
    bone = body.bone
    upper, lower, wrist = bone[f"upperarm01.{end}"], bone[f"lowerarm01.{end}"], bone[f"wrist.{end}"]
    chest = posed.transforms[bone["spine01"], :, :3]  # from the rest pose's axes to those of the posed trunk
    shoulder = posed.heads[upper]
    first, second = person.measures.upper_arm, person.measures.forearm
    hand, pole = target(posed, person, pose, rng, left, room)
    reach = hand - shoulder
    distance = np.clip(np.linalg.norm(reach), 0.3 * (first + second), 0.995 * (first + second))
    reach = unit(reach)
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    pole = unit(pole - reach * (pole @ reach))
    elbow = reach * along + pole * np.sqrt(max(first**2 - along**2, 0))
    up, fore = chest.T @ unit(elbow), chest.T @ unit(reach * distance - elbow)
    # Half of what the arm is raised above the horizontal moves the collar bone.
    lift = float(np.clip(up[2] + 0.2, 0, 1)) * 22
    collar = about("y", -sign * lift)
    turns[bone[f"clavicle.{end}"]] = collar
    up, fore = collar.T @ up, collar.T @ fore
    mean = body["heads"]
    up0, fore0 = unit(mean[lower] - mean[upper]), unit(mean[wrist] - mean[lower])
    axis0, bent = unit(np.cross(up0, fore0)), np.cross(up, fore)
    axis = unit(bent) if np.linalg.norm(bent) > 1e-3 else axis0
    whole = frame(up, axis) @ frame(up0, axis0).T
    swing = between(up0, up)
    twist = swing.T @ whole
    half = _halved(twist)
    turns[upper] = swing @ half
    turns[bone[f"upperarm02.{end}"]] = half.T @ twist
    forearm = whole.T @ fore
    turns[lower] = between(fore0, forearm)
    if pose.has_fist(left):
        ahead = chest.T @ unit(chest @ [-sign * 0.45, -0.85, -0.25])
        turns[wrist] = _bent(
            unit(mean[bone[f"finger3-1.{end}"]] - mean[wrist]), turns[lower].T @ whole.T @ collar.T @ ahead
        )


def _bent(hand: Floats, wanted: Floats) -> Floats:
    """The rotation of a wrist from its direction at rest towards another, as far as wrists go."""
    angle = np.arccos(np.clip(hand @ wanted, -1, 1))
    share = min(1.0, np.radians(LIMITS["wrist"][1]) / max(float(angle), 1e-6))
    return between(hand, unit(hand * np.sin((1 - share) * angle) + wanted * np.sin(share * angle)))


def _halved(rotation: Floats) -> Floats:
    """The rotation about the same axis by half the angle."""
    root = rotation + np.eye(3)
    left, _, right = np.linalg.svd(root)
    return left @ right


def _fingers(turns: Floats, pose: Pose) -> None:
    """Curls the fingers about axes across the palm."""
    body, mean = body_model(), body_model()["heads"]
    for index, end in enumerate("LR"):
        for finger in (2, 3, 4, 5):
            knuckle, joint = (mean[body.bone[f"finger{finger}-{part}.{end}"]] for part in (1, 2))
            across = mean[body.bone[f"finger2-1.{end}"]] - mean[body.bone[f"finger5-1.{end}"]]
            along = unit(joint - knuckle)
            axis = unit(across - along * (across @ along)) * (1 if end == "L" else -1)
            curl = (_FIST if pose.has_fist(index == 0) else pose.hands[index]) * (0.6 + 0.13 * finger)
            for part in (1, 2, 3):
                turns[body.bone[f"finger{finger}-{part}.{end}"]] = Axis(axis).turn(curl * (0.7 if part == 1 else 0.8))

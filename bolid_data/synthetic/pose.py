"""Poses: trunk, arms and legs of a body by a few angles and targets, within the limits of joints, on the ground."""

from dataclasses import dataclass

from functools import cache, lru_cache

import numpy as np

from bolid_data.synthetic.body import Floats, Posed, body_model, skin_vertices
from bolid_data.synthetic.people import Person
from bolid_data.synthetic.turns import Axis, about, between, frame, unit

STANCES = ("standing", "contrapposto", "walking", "sitting", "leaning", "lunging")
ARMS = (
    "down", "raised", "on hips", "folded", "spread", "waving", "in pockets", "behind the back", "one hand on the hip",
    "holding a phone", "hand at the chin", "clasped", "swinging", "on knees",
)  # fmt: skip
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_NECK = ("neck01", "neck02", "neck03", "head")
LIMITS = {"elbow": (3.0, 148.0), "knee": (0.0, 125.0), "hip": (-30.0, 105.0), "trunk": (-15.0, 35.0)}
"""Degrees of flexion that joints may have."""


@dataclass(frozen=True)
class Pose:
    """What is decided about a pose. Degrees; a lean is to the front, a bend and a turn are to the person's left."""

    stance: str
    arms: str
    lean: float
    bend: float
    turn: float
    head: tuple[float, float, float]  # nod down, tilt, turn against the trunk
    hips: tuple[float, float]  # flexion of left and right
    knees: tuple[float, float]
    spread: tuple[float, float]  # of the legs to the outside
    tilt: float  # of the whole body to its left
    hands: tuple[float, float]  # curl of the fingers
    side: int  # 0: what one arm does, the left one does
    looseness: float  # distance of hanging hands from the thighs, metres
    expression: tuple[tuple[str, float], ...]
    seed: int  # of what is left: where exactly hands are


def draw_pose(rng: np.random.Generator, stance: str | None = None, arms: str | None = None) -> Pose:
    """A random pose, of one stance or arms if named."""
    stance = stance or str(rng.choice(STANCES, p=(0.3, 0.26, 0.18, 0.1, 0.09, 0.07)))
    if arms is None:
        allowed = [name for name in ARMS if (name == "on knees") <= (stance == "sitting")]
        weights_ = np.array([4.0 if (name, stance) in (("swinging", "walking"), ("on knees", "sitting")) else 1.0 for name in allowed])
        weights_[allowed.index("down")] = 2.5
        arms = str(rng.choice(allowed, p=weights_ / weights_.sum()))
    side = int(rng.integers(2))
    hips, knees, spread = _legs(rng, stance, side)
    smile = float(np.clip(rng.normal(0.35, 0.4), 0, 1))
    return Pose(
        stance=stance,
        arms=arms,
        lean=float(rng.uniform(0, 8) if stance in ("walking", "sitting") else rng.normal(0, 2.5)),
        bend=float(rng.normal(0, 3)) if stance != "contrapposto" else (6.0 if side else -6.0),
        turn=float(rng.normal(0, 7)),
        head=(float(rng.normal(1, 5)), float(rng.normal(0, 5)), float(rng.normal(0, 11))),
        hips=hips,
        knees=knees,
        spread=spread,
        tilt=(8.0 if side else -8.0) if stance == "leaning" else 0.0,
        hands=(float(rng.uniform(5, 40)), float(rng.uniform(5, 40))),
        side=side,
        looseness=float(rng.uniform(0.03, 0.11)),
        expression=(("smile", smile), ("brows_up", float(np.clip(rng.normal(0, 0.3), 0, 0.8))),
                    ("blink", float(np.clip(rng.normal(0.05, 0.1), 0, 0.3)))),
        seed=int(rng.integers(2**31)),
    )  # fmt: skip


def _legs(
    rng: np.random.Generator, stance: str, side: int
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Flexion of hips and knees, and how far legs are spread, left and right."""
    apart = rng.uniform(-5, 3)
    if stance == "walking":
        stride = rng.uniform(14, 26)
        hips, knees = (stride, -stride * 0.7), (rng.uniform(4, 12), rng.uniform(18, 38))
        apart = -5.5
    elif stance == "sitting":
        hips = (rng.uniform(78, 92), rng.uniform(78, 92))
        knees = (rng.uniform(70, 100), rng.uniform(70, 100))
        apart = rng.uniform(0, 10)
    elif stance == "contrapposto":
        hips, knees = (-1.0, rng.uniform(10, 18)), (1.0, rng.uniform(18, 32))
    elif stance == "lunging":
        hips, knees = (rng.uniform(25, 42), rng.uniform(-16, -8)), (rng.uniform(35, 55), rng.uniform(5, 18))
    else:
        hips, knees = (rng.normal(0, 2), rng.normal(0, 2)), (rng.uniform(0, 5), rng.uniform(0, 5))
    spread = (apart, apart + rng.normal(0, 1))
    order = (0, 1) if side == 0 else (1, 0)
    values = [tuple(float(np.clip(pair[i], *limits)) for i in order)
              for pair, limits in ((hips, LIMITS["hip"]), (knees, LIMITS["knee"]), (spread, (-8.0, 25.0)))]  # fmt: skip
    return values[0], values[1], values[2]  # type: ignore[return-value]


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
        vertices = skin_vertices(face, body.skin, posed)
        if _depth_in_trunk(vertices) < 0.012:
            break
        room += 0.03
    lowest = np.percentile(vertices[:, 2], 0.2)
    shift = np.array([-vertices[:, 0].mean(), -vertices[:, 1].mean(), -lowest], np.float32)
    posed = Posed(np.concatenate([posed.transforms[:, :, :3], posed.transforms[:, :, 3:] + shift[None, :, None]], 2), posed.heads + shift)
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
        turns[bone[name]] = about("z", turn / 4) @ about("x", (nod - lean * 0.7) / 4) @ about("y", (tilt - pose.bend * 0.6) / 4)
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


def _arm(turns: Floats, posed: Posed, person: Person, pose: Pose, rng: np.random.Generator, left: bool, room: float) -> None:
    """Turns an arm so that its hand is where `_target` says, the elbow towards a side."""
    body, end, sign = body_model(), "L" if left else "R", 1.0 if left else -1.0
    bone = body.bone
    upper, lower, wrist = bone[f"upperarm01.{end}"], bone[f"lowerarm01.{end}"], bone[f"wrist.{end}"]
    chest = posed.transforms[bone["spine01"], :, :3]  # from the rest pose's axes to those of the posed trunk
    shoulder = posed.heads[upper]
    first, second = person.measures.upper_arm, person.measures.forearm
    target, pole = _target(posed, person, pose, rng, left, room)
    reach = target - shoulder
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
    axis0, axis = unit(np.cross(up0, fore0)), np.cross(up, fore)
    axis = unit(axis) if np.linalg.norm(axis) > 1e-3 else axis0
    whole = frame(up, axis) @ frame(up0, axis0).T
    swing = between(up0, up)
    twist = swing.T @ whole
    half = between(np.array([1.0, 0, 0]), np.array([1.0, 0, 0])) if _angle(twist) < 1e-3 else about_half(twist)
    turns[upper] = swing @ half
    turns[bone[f"upperarm02.{end}"]] = half.T @ twist
    forearm = whole.T @ fore
    turns[lower] = between(fore0, forearm)


def _angle(rotation: Floats) -> float:
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def about_half(rotation: Floats) -> Floats:
    """The rotation about the same axis by half the angle."""
    root = rotation + np.eye(3)
    left, _, right = np.linalg.svd(root)
    return left @ right


def _target(
    posed: Posed, person: Person, pose: Pose, rng: np.random.Generator, left: bool, room: float
) -> tuple[Floats, Floats]:
    """Where a wrist goes, and to which side the elbow points; world axes of the posed body, metres."""
    body, sign = body_model(), 1.0 if left else -1.0
    bone, heads = body.bone, posed.heads
    trunk = posed.transforms[bone["spine01"], :, :3]
    pelvis = posed.transforms[0, :, :3]
    out, front, up = trunk @ [sign, 0, 0], trunk @ [0, -1, 0], trunk @ [0, 0, 1]
    shoulder = heads[bone[f"upperarm01.{'L' if left else 'R'}"]]
    length = person.measures.upper_arm + person.measures.forearm
    hip = heads[bone[f"upperleg01.{'L' if left else 'R'}"]]
    neck, chest = heads[bone["neck01"]], (heads[bone["spine01"]] + heads[bone["spine02"]]) / 2
    width = _half_width(person)
    active = (pose.side == 0) == left
    jitter = rng.normal(0, 0.012, 3)
    name = pose.arms
    if name in ("waving", "one hand on the hip", "holding a phone", "hand at the chin") and not active:
        name = "down"
    hip_side = hip + pelvis @ [sign * (width["hips"] - abs(hip[0] - heads[0][0])), 0, 0]
    down = hip_side + out * (pose.looseness + room) - up * (length * 0.99 - np.linalg.norm(shoulder - hip) - 0.005) * 0.8
    if name == "raised":
        return shoulder + up * length * 0.9 + out * length * (0.16 + abs(jitter[0]) * 8) + front * 0.05, out + front * 0.3
    if name == "waving":
        return shoulder + up * length * 0.42 + out * length * 0.52 + front * 0.12 + jitter, out - up
    if name == "spread":
        return shoulder + out * length * 0.97 + up * length * rng.uniform(-0.12, 0.2) + front * 0.05, -up - front * 0.3
    if name in ("on hips", "one hand on the hip"):
        waist = heads[bone["spine04"]]
        return waist + out * (width["waist"] + 0.055 + room) - up * 0.01 + front * 0.02 + jitter, out * 1.0 - front * 0.55
    if name == "folded":
        high = 0.0 if active else -0.045
        ahead = width["depth"] + room + (0.085 if active else 0.05)
        return chest + out * 0.005 + front * ahead + up * (high - 0.05), -up * 0.8 + out
    if name == "in pockets":
        return hip_side + out * (0.012 + room) + front * 0.035 + up * 0.045, out * 0.8 - front
    if name == "behind the back":
        return heads[bone["spine04"]] + out * 0.06 - front * (width["back"] + 0.06 + room) - up * 0.02, out - front * 0.6
    if name == "holding a phone":
        return chest + front * (width["depth"] + 0.22 + room) + out * 0.07 + up * rng.uniform(-0.02, 0.1), out * 0.5 - up
    if name == "hand at the chin":
        return neck + front * (0.15 + room) + out * 0.05 - up * 0.055, -up + out * 0.4 + front * 0.3
    if name == "clasped":
        return hip + out * -(abs(hip[0] - heads[0][0]) - 0.035) + front * (width["belly"] + 0.06 + room) + up * rng.uniform(-0.03, 0.08), out - front * 0.2
    if name == "on knees":
        knee = heads[bone[f"lowerleg01.{'L' if left else 'R'}"]]
        return knee + (hip - knee) * 0.28 + np.array([0, 0, 0.09]) + out * 0.01, out - up * 0.2
    if name == "swinging":
        forward = pose.hips[1 if left else 0] / 25  # against the legs
        return down + front * forward * 0.24 + up * abs(forward) * 0.05 + out * 0.01, -front + out * 0.2
    if pose.stance == "sitting":
        return down + front * 0.16 + up * 0.13 + out * (0.03 + room), out * 0.6 - front
    return down + front * rng.uniform(0.0, 0.06) + jitter * [1, 1, 0.3], out * 0.35 - front


@lru_cache(maxsize=64)
def _half_width(person: Person) -> dict[str, float]:
    """Half-widths and depths of the trunk at rest, metres: how far hands must stay from the body's axis."""
    body, vertices = body_model(), person.rest.vertices
    heads = person.rest.heads
    trunk = _trunk_vertices()

    def slab(bone: str, drop: float = 0.0) -> Floats:
        near = vertices[trunk]
        return near[np.abs(near[:, 2] - heads[body.bone[bone]][2] + drop) < 0.03]

    waist, hips, chest = slab("spine04"), slab("upperleg01.L"), slab("spine02")
    middle = {name: heads[body.bone[name]][1] for name in ("spine04", "spine02", "upperleg01.L")}
    return {
        "waist": float(np.abs(waist[:, 0]).max()),
        "hips": float(np.abs(hips[:, 0]).max()),
        "depth": float(middle["spine02"] - min(chest[:, 1].min(), waist[:, 1].min() + 0.02)),
        "back": float(waist[:, 1].max() - middle["spine04"]),
        "belly": float(middle["upperleg01.L"] - min(hips[:, 1].min(), waist[:, 1].min())),
    }


def _fingers(turns: Floats, pose: Pose) -> None:
    """Curls the fingers about axes across the palm."""
    body, mean = body_model(), body_model()["heads"]
    for index, end in enumerate("LR"):
        for finger in (2, 3, 4, 5):
            knuckle, joint = (mean[body.bone[f"finger{finger}-{part}.{end}"]] for part in (1, 2))
            across = mean[body.bone[f"finger2-1.{end}"]] - mean[body.bone[f"finger5-1.{end}"]]
            along = unit(joint - knuckle)
            axis = unit(across - along * (across @ along)) * (1 if end == "L" else -1)
            curl = pose.hands[index] * (0.6 + 0.13 * finger)
            for part in (1, 2, 3):
                turns[body.bone[f"finger{finger}-{part}.{end}"]] = Axis(axis).turn(curl * (0.7 if part == 1 else 0.8))


@cache
def _trunk_vertices() -> np.ndarray:
    """(V,) bool: hips, waist and chest."""
    body = body_model()
    chosen = [i for name, i in body.bone.items() if name.startswith(("spine", "root", "pelvis", "upperleg01"))]
    return (body.skin[:, chosen].sum(1) > 0.8) & (body.template[:, 2] > 0.0) & (body.template[:, 2] < 0.6)


def _depth_in_trunk(vertices: Floats) -> float:
    """Metres by which forearms and hands are inside of the trunk."""
    body = body_model()
    limbs, chosen, faces = _limbs_and_trunk()
    limb, trunk = vertices[limbs], vertices[chosen]
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    nearest = ((trunk**2).sum(1) - 2 * limb @ trunk.T).argmin(1)
    offset = limb - trunk[nearest]
    depth = -(offset * normals[nearest]).sum(1)
    return float(depth[(offset**2).sum(1) < 0.12**2].max(initial=0.0))


@cache
def _limbs_and_trunk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some vertices of forearms and hands, some of the trunk, and a face at each of the latter."""
    body = body_model()
    arms = [i for name, i in body.bone.items() if name.startswith(("lowerarm", "wrist", "metacarpal", "finger"))]
    limbs = np.flatnonzero(body.skin[:, arms].sum(1) > 0.9)[::9]
    chosen = np.flatnonzero(_trunk_vertices())[::3]
    face_of = np.zeros(len(body.template), np.int64)
    face_of[body.faces.reshape(-1)] = np.repeat(np.arange(len(body.faces)), 3)
    return limbs, chosen, body.faces[face_of[chosen]]
